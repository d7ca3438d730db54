//! A [`Stream`] is a blocking connection, in clear or under TLS, on either side.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::ServerName;

/// A blocking connection.
pub(crate) enum Stream {
    Plain(TcpStream),
    Client(Box<StreamOwned<ClientConnection, TcpStream>>),
    Server(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Stream {
    /// The connection below any TLS.
    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Client(tls) => &tls.sock,
            Self::Server(tls) => &tls.sock,
        }
    }

    pub(crate) fn set_read_timeout(&self, timeout: Duration) {
        self.tcp().set_read_timeout(Some(timeout)).unwrap();
    }

    /// Begins TLS as the side that connected.
    pub(crate) fn into_client_tls(self, config: Arc<ClientConfig>) -> io::Result<Self> {
        let tcp = self.into_tcp();
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let session = ClientConnection::new(config, name).map_err(io::Error::other)?;
        let mut tls = StreamOwned::new(session, tcp);
        tls.conn.complete_io(&mut tls.sock)?;
        Ok(Self::Client(Box::new(tls)))
    }

    /// Begins TLS as the side that was connected to.
    pub(crate) fn into_server_tls(self, config: Arc<ServerConfig>) -> io::Result<Self> {
        let tcp = self.into_tcp();
        let session = ServerConnection::new(config).map_err(io::Error::other)?;
        let mut tls = StreamOwned::new(session, tcp);
        tls.conn.complete_io(&mut tls.sock)?;
        Ok(Self::Server(Box::new(tls)))
    }

    fn into_tcp(self) -> TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Client(tls) => tls.sock,
            Self::Server(tls) => tls.sock,
        }
    }

    /// Ends the connection with a reset: the peer sees an error, not an end.
    pub(crate) fn reset(self) {
        let tcp = self.into_tcp();
        let _ = socket2::SockRef::from(&tcp).set_linger(Some(Duration::ZERO));
    }

    /// Says that nothing more will be sent.
    pub(crate) fn end_sending(&self) {
        let _ = self.tcp().shutdown(Shutdown::Write);
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read(buffer),
            Self::Client(tls) => tls.read(buffer),
            Self::Server(tls) => tls.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.write(bytes),
            Self::Client(tls) => tls.write(bytes),
            Self::Server(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.flush(),
            Self::Client(tls) => tls.flush(),
            Self::Server(tls) => tls.flush(),
        }
    }
}
