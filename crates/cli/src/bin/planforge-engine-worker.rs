//! The process that builds one engine; `planforge` starts it.

fn main() -> std::process::ExitCode {
    planforge_engine_worker::run()
}
