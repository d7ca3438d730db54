use std::sync::Arc;

use futures_util::FutureExt;
use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, server};

use super::*;
use crate::gateway::tls;

const PATIENCE: Duration = Duration::from_secs(10);

async fn streams() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).await;
    let (upstream, _) = listener.accept().await.unwrap();
    (stream.unwrap(), upstream)
}

async fn connection() -> (Connection, TcpStream) {
    let (stream, upstream) = streams().await;
    let transport = Transport::Plain(stream);
    (
        Connection::new(transport, Extensions::default(), 1000),
        upstream,
    )
}

async fn secure_connection() -> (Connection, server::TlsStream<TcpStream>) {
    tls::install_provider();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key);
    let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
    let connector = tls::opportunistic_connector();
    let (stream, upstream) = streams().await;
    let name = "localhost".try_into().unwrap();
    let (stream, upstream) =
        tokio::join!(connector.connect(name, stream), acceptor.accept(upstream));
    let transport = Transport::Client(Box::new(stream.unwrap()));
    let connection = Connection::new(transport, Extensions::default(), 1000);
    (connection, upstream.unwrap())
}

#[tokio::test]
async fn r12_x41_a_second_reply_is_noticed_before_the_next_command() {
    let (mut connection, mut upstream) = connection().await;
    connection.client.command(Expect::Rcpt(0), &[b"RCPT"]);
    upstream.write_all(b"250 ok\r\n250 ok\r\n").await.unwrap();
    let (_, reply) = connection.reply(PATIENCE).await.unwrap();
    assert_eq!(reply.code(), 250);
    assert!(!connection.is_quiet());
}

#[tokio::test]
async fn a_connection_holds_no_large_buffer_while_its_upstream_thinks() {
    let (mut connection, mut upstream) = connection().await;
    buffers::lend(connection.client.output());
    connection.client.command(Expect::Rcpt(0), &[b"RCPT"]);
    let answer = async {
        tokio::task::yield_now().await;
        upstream.write_all(b"250 ok\r\n").await.unwrap();
    };
    let (reply, ()) = tokio::join!(connection.reply(PATIENCE), answer);
    reply.unwrap();
    assert_eq!(connection.client.output().capacity(), 0);
}

#[tokio::test]
async fn r1_a_250_from_an_upstream_that_does_not_take_the_dot_is_early() {
    let (mut connection, mut upstream) = connection().await;
    connection.client.expect_end_of_data();
    upstream.write_all(b"250 early\r\n").await.unwrap();
    let reset = Some(Duration::ZERO);
    socket2::SockRef::from(&upstream).set_linger(reset).unwrap();
    drop(upstream);
    connection.queue_end();
    // The reset may overtake the reply; what must not be is a reply to a dot that was written.
    if connection.reply(PATIENCE).await.is_ok() {
        assert!(connection.has_unwritten());
    }
}

#[tokio::test]
async fn r1_a_250_is_early_while_tls_holds_the_dot_back() {
    let (mut connection, mut upstream) = secure_connection().await;
    connection.client.expect_end_of_data();
    upstream.write_all(b"250 early\r\n").await.unwrap();
    upstream.flush().await.unwrap();
    // Nobody reads there, so in the end the socket is full and TLS keeps what it took.
    let piece = Bytes::from(vec![b'a'; 16 * 1024]);
    let mut patience = std::iter::repeat_n((), 10_000);
    while !(connection.is_held_back && connection.tail.is_empty()) {
        patience.next().unwrap();
        if connection.tail.is_empty() {
            connection.queue_tail(piece.clone());
        }
        let written = poll_fn(|context| Poll::Ready(connection.poll_write_all(context)));
        let _ = tokio::task::unconstrained(written).now_or_never();
    }
    connection.queue_end();
    let (_, reply) = connection.reply(PATIENCE).await.unwrap();
    assert_eq!(reply.code(), 250);
    assert!(!connection.owes_end(), "TLS took it");
    assert!(connection.has_unwritten() && !connection.is_in_step());
}

#[tokio::test]
async fn r2_a_dot_that_was_never_handed_over_is_known_not_to_have_arrived() {
    let (mut connection, upstream) = connection().await;
    connection.client.expect_end_of_data();
    // More than the system takes.
    connection.queue_tail(Bytes::from(vec![b'a'; 64 * 1024 * 1024]));
    connection.queue_end();
    socket2::SockRef::from(&upstream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(upstream);
    connection.reply(PATIENCE).await.unwrap_err();
    assert!(connection.owes_end());
}
