//! With the feature `torch`, makes the program look for libtorch where it was linked from.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    if std::env::var_os("CARGO_FEATURE_TORCH").is_none() {
        return;
    }
    if let Ok(libtorch) = std::env::var("LIBTORCH") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{libtorch}/lib");
    }
    // The same for a program that was moved together with the folder it was built in.
    println!("cargo::rustc-link-arg=-Wl,-rpath,$ORIGIN/../../.native/libtorch/lib");
}
