//! stub
use super::*;
#[derive(Debug)]
pub struct RedisStore;
pub struct RedisOptions {
    pub url: String,
    pub user: Option<String>,
    pub password: Option<secrecy::SecretString>,
    pub ca_file: Option<std::path::PathBuf>,
    pub timeout: Duration,
}
impl RedisStore {
    pub fn new(
        _: RedisOptions,
    ) -> Result<super::embedded::EmbeddedStore, super::embedded::OpenError> {
        super::embedded::EmbeddedStore::open(std::path::Path::new("x"))
    }
}
