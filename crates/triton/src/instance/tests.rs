//! Engines on fakes of the driver and the library, which shows nothing of a GPU.

use super::*;
use crate::batch::InputTensor;
use crate::config::ModelConfig;
use crate::execute::Computed;
use crate::native::RuntimePlaces;
use crate::settings::BackendSettings;
use planforge_core::DataType;
use planforge_runtime::TensorView;
use planforge_testkit::{fake_engine, fake_weights, native, on_fake_gpu, repository};
use std::cell::Cell;
use std::path::Path;

const CONFIG: &str = r#"{"max_batch_size":16,"default_model_filename":"model.plan",
    "input":[{"name":"ids","data_type":"TYPE_INT64","dims":[-1]},{"name":"mask","data_type":"TYPE_INT64","dims":[-1]}],
    "output":[{"name":"sum","data_type":"TYPE_FP32","dims":[1],"reshape":{"shape":[]}}],
    "optimization":{"cuda":{"graphs":true}}}"#;

/// What each request got, and the sizes of the batches that ran.
#[derive(Default)]
struct Got {
    answers: Vec<(usize, std::result::Result<Vec<f32>, String>)>,
    batches: Vec<usize>,
    computed: Vec<Computed>,
    /// A clock that goes on by 1 whenever it is read.
    clock: Cell<u64>,
}

impl Answers for Got {
    fn now(&self) -> u64 {
        self.clock.set(self.clock.get() + 1);
        self.clock.get()
    }

    fn answer(&mut self, request: usize, outputs: Result<&[TensorView<'_>]>, _: Computed) {
        let values = outputs.map(|outputs| bytemuck::pod_collect_to_vec(outputs[0].bytes));
        self.answers.push((request, values.map_err(|error| error.chain())));
    }

    fn ran(&mut self, batch_size: usize, computed: Computed) {
        self.batches.push(batch_size);
        self.computed.push(computed);
    }
}

fn open(config: &str, folder: &Path) -> Result<Model> {
    let places = RuntimePlaces::new(&BackendSettings::default(), |_| None, folder);
    Model::open(ModelConfig::parse(config)?, folder, &places)
}

fn request(rows: usize, bytes: &[i64]) -> RequestTensors<'_> {
    request_of((rows, 4), bytes)
}

fn request_of((rows, length): (usize, usize), bytes: &[i64]) -> RequestTensors<'_> {
    let input = |name: &str| InputTensor {
        name: name.to_owned(),
        data_type: DataType::Int64,
        shape: vec![rows, length],
        pieces: vec![bytemuck::cast_slice(&bytes[..rows * length])],
    };
    RequestTensors { inputs: vec![input("ids"), input("mask")], outputs: vec!["sum".to_owned()] }
}

#[test]
fn instances_on_a_gpu_share_an_engine_and_answer_in_batches() {
    let name = concat!(module_path!(), "::instances_on_a_gpu_share_an_engine_and_answer_in_batches");
    on_fake_gpu(name, |folder| {
        let _ = fake_engine(folder, "model.plan", &[]);
        let model = open(CONFIG, folder).unwrap();
        let mut first = Instance::load(&model, Device::Cuda(0)).unwrap();
        // From here on the file is not needed: the second instance has the first one's engine.
        fs_err::remove_file(folder.join("model.plan")).unwrap();
        let mut second = Instance::load(&model, Device::Cuda(0)).unwrap();
        assert_eq!(first.describe(), "on GPU 0, TensorRT-RTX on Fake GPU, CUDA graphs");
        let values: Vec<i64> = (0..80).map(|value| value % 7).collect();
        let sums = |rows: usize| -> Vec<f32> {
            values.chunks(4).take(rows).map(|row| row.iter().map(|&value| (value * value) as f32).sum()).collect()
        };
        let requests = [request(1, &values), request(3, &values), request(2, &values)];
        let mut got = Got::default();
        first.execute(&requests, &mut got);
        assert_eq!(got.batches, [6]);
        assert_eq!(got.answers, [(0, Ok(sums(1))), (1, Ok(sums(3))), (2, Ok(sums(2)))]);
        // Too many rows together: each is run alone, and only the one that is too large fails.
        let requests = [request(17, &values), request(4, &values)];
        let mut got = Got::default();
        second.execute(&requests, &mut got);
        assert_eq!(got.answers[1], (1, Ok(sums(4))));
        let error = got.answers[0].1.clone().unwrap_err();
        assert_eq!(
            error,
            "input `ids` has shape [17, 4], the engine was built for [1 to 4, 4 to 64] or [5 to 16, 4 to 64]"
        );
        drop(model);
        let mut got = Got::default();
        first.execute(&[request(5, &values)], &mut got);
        assert_eq!(got.answers, [(0, Ok(sums(5)))]);
    });
}

/// Without the CUDA provider, which the library here lacks.
#[test]
fn a_graph_that_asks_for_no_gpu_runs_without_one() {
    const CONFIG: &str = r#"{"max_batch_size":8,"instance_group":[{"count":2,"kind":"KIND_GPU","gpus":[0]}],
        "input":[{"name":"ids","data_type":"TYPE_INT64","dims":[-1]},{"name":"mask","data_type":"TYPE_INT64","dims":[-1]}],
        "output":[{"name":"sums","data_type":"TYPE_FP32","dims":[4]}]}"#;
    let folder = tempfile::tempdir().unwrap();
    let version = folder.path().join("1");
    fs_err::create_dir(&version).unwrap();
    for file in ["model.onnx", "model.safetensors"] {
        fs_err::copy(repository().join("fixtures/tiny-onnx/embed").join(file), version.join(file)).unwrap();
    }
    let library = native().join("onnxruntime/libonnxruntime.so");
    let places = RuntimePlaces::new(&BackendSettings::default(), |_| Some(library.clone()), folder.path());
    let load = |text: &str| {
        fs_err::write(folder.path().join("config.pbtxt"), text).unwrap();
        let model = Model::open(ModelConfig::parse(CONFIG).unwrap(), &version, &places).unwrap();
        Instance::load(&model, Device::Cuda(0)).map_err(|error| error.to_string())
    };
    // The server has chosen the GPU.
    let instance = load("instance_group [ { count: 2 } ]  # not KIND_GPU\n").unwrap();
    assert!(instance.describe().starts_with("on the processor, "), "{}", instance.describe());
    let warning = instance.warning().unwrap();
    let words = "it runs on the processor though there is a GPU: `libonnxruntime_providers_cuda.so` is not next to `";
    assert!(warning.starts_with(words), "{warning}");
    let refused = load("instance_group [ { count: 2 kind: KIND_GPU } ]\n").err().unwrap();
    assert!(refused.contains("it asks for instances of kind KIND_GPU, and `libonnxruntime_prov"), "{refused}");
}

#[test]
fn the_clock_of_each_group_starts_anew() {
    let name = concat!(module_path!(), "::the_clock_of_each_group_starts_anew");
    on_fake_gpu(name, |folder| {
        let _ = fake_engine(folder, "model.plan", &[]);
        let mut instance = Instance::load(&open(CONFIG, folder).unwrap(), Device::Cuda(0)).unwrap();
        let values = [1; 12];
        let lengths = [4, 6, 4, 6, 6];
        let mut got = Got::default();
        instance.execute(&lengths.map(|length| request_of((1, length), &values)), &mut got);
        assert_eq!(got.batches, [2, 3]);
        let sums: Vec<_> = got.answers.iter().map(|(index, sums)| (*index, sums.clone().unwrap()[0])).collect();
        assert_eq!(sums, [(0, 4.0), (2, 4.0), (1, 6.0), (3, 6.0), (4, 6.0)]);
        let [first, second] = got.computed[..] else { panic!("{:?}", got.computed) };
        assert!(first.begun < first.start && first.start < first.end, "{first:?}");
        assert!(first.end < second.begun && second.begun < second.start, "{first:?}, {second:?}");
    });
}

#[test]
fn weights_are_put_into_an_engine_once_for_all_instances() {
    let name = concat!(module_path!(), "::weights_are_put_into_an_engine_once_for_all_instances");
    on_fake_gpu(name, |folder| {
        let plan = fake_engine(folder, "model.plan", &[(101, b'S')]);
        let files = fake_weights(&plan, [1.0, 2.0, 3.0, 4.0], 0.5);
        let model = open(CONFIG, folder).unwrap();
        let mut first = Instance::load(&model, Device::Cuda(0)).unwrap();
        files.iter().for_each(|file| fs_err::remove_file(file).unwrap());
        let mut second = Instance::load(&model, Device::Cuda(0)).unwrap();
        let values = [1; 8];
        for instance in [&mut first, &mut second] {
            let mut got = Got::default();
            instance.execute(&[request(2, &values)], &mut got);
            assert_eq!(got.answers, [(0, Ok(vec![4.5, 8.5]))]);
        }
        let again = open(CONFIG, folder).unwrap();
        let missing = Instance::load(&again, Device::Cuda(0)).err().map(|error| error.chain()).unwrap();
        let words = "model.plan` was built without its weights, and 2 of them are not given: `factor`, `shift`; the list of \
                     its weights is `model.weights.json` in its folder, with the files that it names";
        assert!(missing.ends_with(words), "{missing}");
    });
}

#[test]
fn engines_that_cannot_be_served_say_why() {
    let name = concat!(module_path!(), "::engines_that_cannot_be_served_say_why");
    on_fake_gpu(name, |folder| {
        let _ = fake_engine(folder, "model.plan", &[]);
        let fault = |config: &str, device| {
            let model = open(config, folder).unwrap();
            Instance::load(&model, device).err().map(|error| error.chain()).unwrap()
        };
        let processor = fault(CONFIG, Device::Cpu);
        assert!(
            processor.ends_with("is an engine, which runs on GPUs only: its instances are of kind KIND_GPU"),
            "{processor}"
        );
        assert_eq!(fault(CONFIG, Device::Cuda(1)), "unknown GPU 1: the CUDA driver sees 1");
        let twisted = fault(&CONFIG.replace("TYPE_FP32", "TYPE_INT64"), Device::Cuda(0));
        assert!(twisted.contains("output `sum` has data type TYPE_INT64, the model's is TYPE_FP32"), "{twisted}");
        let _ = fake_engine(folder, "model.plan", &[(32, 1)]);
        assert!(fault(CONFIG, Device::Cuda(0)).contains("was built for compute capability 7.5"));
        let named = CONFIG.replace(
            "\"optimization\"",
            "\"parameters\":{\"tensorrt_rtx_library\":{\"string_value\":\"/nowhere\"}},\"optimization\"",
        );
        assert!(fault(&named, Device::Cuda(0)).starts_with("native library `/nowhere` cannot be opened"));
    });
}
