//! [`connect`] makes a connection that works: TCP, TLS, login, and a first answer from a master.

use std::io;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Value};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use super::META;
use super::bounded::Bounded;
use super::link::{describe, describe_server};
use super::options::Target;

/// How many commands may wait to be sent; whoever comes next waits for room.
const QUEUE_LIMIT: usize = 1024;

/// A connection and the task that drives it. Dropping the driver closes the connection.
pub(super) struct Connected {
    pub(super) connection: MultiplexedConnection,
    pub(super) driver: AbortOnDropHandle<()>,
}

/// Connects. The error is a text for the log; it holds no secret.
pub(super) async fn connect(target: &Target) -> Result<Connected, String> {
    let stream = open(target).await.map_err(|error| error.to_string())?;
    let config = AsyncConnectionConfig::new()
        // Whoever asks brings a deadline.
        .set_response_timeout(None)
        .set_pipeline_buffer_size(QUEUE_LIMIT);
    let (mut connection, driver) =
        MultiplexedConnection::new_with_config(&target.login, Bounded::new(stream), config)
            .await
            .map_err(|error| describe(&error))?;
    let driver = AbortOnDropHandle::new(tokio::spawn(driver));
    probe(&mut connection).await?;
    Ok(Connected { connection, driver })
}

/// Asks for what every look-up asks for, and whether the server is a master.
///
/// A replica may be behind: somebody who just opted out would still get mail (S2).
pub(super) async fn probe(connection: &mut MultiplexedConnection) -> Result<(), String> {
    let mut commands = redis::pipe();
    commands.cmd("HGET").arg(META).arg("generation");
    commands.cmd("ROLE");
    let replies = connection
        .send_packed_commands(&commands, 0, commands.len())
        .await
        .map_err(|error| describe(&error))?;
    if let Some(Value::ServerError(error)) = replies.first() {
        return Err(describe_server(error));
    }
    match replies.get(1) {
        Some(Value::Array(role)) if role.first() == Some(&Value::BulkString(b"slave".to_vec())) => {
            Err("the server is a replica; connect the master".to_owned())
        }
        // Where ROLE is not permitted we take the operator's word.
        _ => Ok(()),
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

async fn open(target: &Target) -> io::Result<Box<dyn Stream>> {
    let tcp = TcpStream::connect((target.host.as_str(), target.port)).await?;
    tcp.set_nodelay(true)?;
    match &target.tls {
        Some((connector, name)) => Ok(Box::new(connector.connect(name.clone(), tcp).await?)),
        None => Ok(Box::new(tcp)),
    }
}
