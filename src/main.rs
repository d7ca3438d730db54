//! tmp
fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    let file = args
        .iter()
        .position(|a| a == "--config")
        .map(|i| std::path::PathBuf::from(&args[i + 1]));
    let loaded = sendgate::config::Config::load(file.as_deref(), std::env::vars())
        .unwrap_or_else(|e| panic!("{e}"));
    tokio::runtime::Runtime::new()
        .unwrap()
        .block_on(sendgate::cli::serve::run(loaded, file))
        .unwrap();
}
