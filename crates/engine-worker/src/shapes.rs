//! Shapes of optimization profiles, as TensorRT takes them.

use planforge_engine_protocol::WorkerRequest;
use planforge_tensorrt::{InputShapes, ProfileShapes};

/// The profiles of a request.
pub(crate) fn profiles(request: &WorkerRequest) -> Vec<ProfileShapes> {
    request.profiles.iter().map(|profile| profile.iter().map(input_shapes).collect()).collect()
}

fn input_shapes((name, [min, opt, max]): &(String, [Vec<i64>; 3])) -> InputShapes {
    InputShapes { name: name.clone(), min: min.clone(), opt: opt.clone(), max: max.clone() }
}
