//! Documents that are generated.

#[test]
fn the_reference_of_the_pipeline_file_is_up_to_date() {
    let path = planforge_testkit::repository().join("docs/pipeline-reference.md");
    planforge_testkit::check_generated(&path, &planforge_core::pipeline_reference());
}
