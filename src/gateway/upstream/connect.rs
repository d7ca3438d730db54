//! Making a connection: TCP, greeting, EHLO, TLS and AUTH, which `mail-send` speaks for us.

use mail_send::{Credentials, SmtpClient};
use secrecy::ExposeSecret;
use smtp_proto::EhloResponse;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::connection::Connection;
use super::lockstep::Lockstep;
use super::{ConnectError, UpstreamOptions};
use crate::config::{Security, UpstreamUrl};
use crate::gateway::transport::Transport;
use crate::smtp::Extensions;
use crate::smtp::extensions::Xforward;

/// Host and port as they are dialled.
pub(super) fn address(url: &UpstreamUrl) -> String {
    if url.host.contains(':') {
        format!("[{}]:{}", url.host, url.port)
    } else {
        format!("{}:{}", url.host, url.port)
    }
}

/// Connects and comes back when the upstream is ready for MAIL.
pub(super) async fn connect(
    options: &UpstreamOptions,
    connector: &TlsConnector,
) -> Result<Connection, ConnectError> {
    let steps = Steps {
        options,
        connector,
        address: address(&options.url),
    };
    let stream = TcpStream::connect(&steps.address)
        .await
        .map_err(|e| steps.unreachable(&e))?;
    // The last small segment of a message must not wait for a delayed acknowledgement.
    stream
        .set_nodelay(true)
        .map_err(|e| steps.unreachable(&e))?;
    match options.url.security {
        Security::Implicit => {
            let stream = steps.handshake(stream).await?;
            let (client, hello) = steps.greet(*stream).await?;
            let transport = |stream| Transport::Client(Box::new(stream));
            steps.finish(client, hello, transport, true).await
        }
        Security::Opportunistic | Security::StartTls => steps.clear_text_first(stream).await,
    }
}

type Client<S> = SmtpClient<Lockstep<S>>;
type Tls = tokio_rustls::client::TlsStream<TcpStream>;

struct Steps<'a> {
    options: &'a UpstreamOptions,
    connector: &'a TlsConnector,
    address: String,
}

impl Steps<'_> {
    async fn clear_text_first(&self, stream: TcpStream) -> Result<Connection, ConnectError> {
        let (mut client, hello) = self.greet(stream).await?;
        let required = self.options.url.security == Security::StartTls;
        if !Extensions::of(&hello).start_tls {
            if required {
                return Err(
                    self.refused("STARTTLS", "not offered, and smtp+starttls:// demands it")
                );
            }
            return self.finish(client, hello, Transport::Plain, false).await;
        }
        let reply = client
            .cmd(b"STARTTLS\r\n")
            .await
            .map_err(|e| self.failed("STARTTLS", &e))?;
        if reply.code() != 220 {
            if required {
                return Err(self.refused("STARTTLS", &reply.to_string()));
            }
            return self.finish(client, hello, Transport::Plain, false).await;
        }
        let stream = client.stream.into_stream().ok_or_else(|| {
            self.refused(
                "STARTTLS",
                "bytes behind the reply, which were not encrypted",
            )
        })?;
        let mut client = self.client(*self.handshake(stream).await?);
        // What was said in clear is forgotten: EHLO again (RFC 3207 §4.2).
        let hello = self.ehlo(&mut client).await?;
        self.finish(
            client,
            hello,
            |stream| Transport::Client(Box::new(stream)),
            true,
        )
        .await
    }

    async fn handshake(&self, stream: TcpStream) -> Result<Box<Tls>, ConnectError> {
        let client = SmtpClient {
            stream,
            timeout: self.options.timeouts.connect,
        };
        let secured = client
            .into_tls(self.connector, &self.options.url.host)
            .await;
        match secured {
            Ok(client) => Ok(Box::new(client.stream)),
            Err(error) => Err(self.failed("TLS", &error)),
        }
    }

    fn client<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> Client<S> {
        SmtpClient {
            stream: Lockstep::new(stream, self.options.reply_limit),
            // The caller's deadline covers the whole connection; this one never fires first.
            timeout: self.options.timeouts.connect * 2,
        }
    }

    async fn greet<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
    ) -> Result<(Client<S>, EhloResponse<String>), ConnectError> {
        let mut client = self.client(stream);
        let greeting = client
            .read()
            .await
            .map_err(|e| self.failed("greeting", &e))?;
        match greeting.code() {
            220 => {}
            // It is there and cannot take us now, which is nobody's configuration.
            400..500 => return Err(self.unreachable(&greeting)),
            _ => return Err(self.refused("greeting", &greeting.to_string())),
        }
        let hello = self.ehlo(&mut client).await?;
        Ok((client, hello))
    }

    /// EHLO, or HELO where the upstream does not know EHLO.
    async fn ehlo<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        client: &mut Client<S>,
    ) -> Result<EhloResponse<String>, ConnectError> {
        let name = &self.options.hostname;
        let command = format!("EHLO {name}\r\n");
        let reply = client
            .cmd(command)
            .await
            .map_err(|e| self.failed("EHLO", &e))?;
        if reply.code() == 250 {
            return Ok(offered(client.stream.reply()));
        }
        // Only a server that does not know EHLO is asked for less: whoever is merely busy would
        // otherwise be taken for one without extensions, TLS among them.
        if reply.code() < 500 {
            return Err(self.refused("EHLO", &reply.to_string()));
        }
        let command = format!("HELO {name}\r\n");
        let reply = client
            .cmd(command)
            .await
            .map_err(|e| self.failed("HELO", &e))?;
        if reply.code() == 250 {
            Ok(EhloResponse::default())
        } else {
            Err(self.refused("EHLO", &reply.to_string()))
        }
    }

    async fn finish<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        mut client: Client<S>,
        hello: EhloResponse<String>,
        transport: impl FnOnce(S) -> Transport,
        secure: bool,
    ) -> Result<Connection, ConnectError> {
        // The last command was EHLO or STARTTLS; only an EHLO reply names attributes.
        let xforward = Xforward::of(client.stream.reply());
        if let Some((user, password)) = &self.options.credentials {
            if !secure {
                return Err(self.refused("AUTH", "a password is not sent without TLS"));
            }
            let credentials = Credentials::new(user.as_str(), password.expose_secret());
            client
                .authenticate(&credentials, &hello)
                .await
                .map_err(|e| self.failed("AUTH", &e))?;
        }
        let offered = Extensions::of(&hello);
        let extensions = Extensions {
            xforward,
            require_tls: offered.require_tls && secure && is_verified(self.options),
            ..offered
        };
        let stream = client
            .stream
            .into_stream()
            .ok_or_else(|| self.refused("EHLO", "more replies than commands"))?;
        Ok(Connection::new(
            transport(stream),
            extensions,
            self.options.reply_limit,
        ))
    }

    fn unreachable(&self, cause: &impl std::fmt::Display) -> ConnectError {
        ConnectError::Unreachable {
            address: self.address.clone(),
            cause: cause.to_string(),
        }
    }

    fn refused(&self, step: &'static str, cause: &str) -> ConnectError {
        ConnectError::Refused {
            address: self.address.clone(),
            step,
            cause: cause.to_owned(),
        }
    }

    /// A connection that breaks is unreachable; a reply that says no, or makes no sense, is a refusal.
    fn failed(&self, step: &'static str, error: &mail_send::Error) -> ConnectError {
        match error {
            mail_send::Error::Io(cause) => self.unreachable(cause),
            mail_send::Error::Timeout => self.unreachable(error),
            mail_send::Error::UnparseableReply if step == "greeting" => {
                self.unreachable(&"closed or not SMTP")
            }
            _ => self.refused(step, &error.to_string()),
        }
    }
}

/// Whether TLS here means that the upstream's certificate was verified: mail that requires TLS must
/// not go to whoever answers (RFC 8689 §4.2.1).
fn is_verified(options: &UpstreamOptions) -> bool {
    options.ca_file.is_some() || options.url.security != Security::Opportunistic
}

/// What an EHLO reply offers. A line that cannot be read offers nothing; the others still do.
fn offered(reply: &[u8]) -> EhloResponse<String> {
    let lines: Vec<&[u8]> = reply
        .split_inclusive(|&b| b == b'\n')
        // smtp-sink ends its keywords with an empty line.
        .filter(|line| line.trim_ascii().len() > 4)
        .collect();
    let mut text = Vec::with_capacity(reply.len());
    for (index, line) in lines.iter().enumerate() {
        let mut line = line.to_vec();
        if let Some(separator) = line.get_mut(3) {
            *separator = if index + 1 == lines.len() { b' ' } else { b'-' };
        }
        text.extend_from_slice(&line);
    }
    EhloResponse::parse(&mut text.iter()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(reply: &[u8], pipelining: bool, size: Option<u64>) {
        let extensions = Extensions::of(&offered(reply));
        assert_eq!((extensions.pipelining, extensions.size), (pipelining, size));
    }

    #[test]
    fn reads_what_servers_really_say() {
        check(
            b"250-mx.example\r\n250-PIPELINING\r\n250 SIZE 1000\r\n",
            true,
            Some(1000),
        );
        check(
            b"250-smtp-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 \r\n",
            true,
            None,
        );
        check(b"250 mx.example\r\n", false, None);
        check(
            b"250-mx.example\r\n250-X-UNKNOWN thing=1\r\n250 PIPELINING\r\n",
            true,
            None,
        );
    }

    #[test]
    fn an_ipv6_host_is_dialled_in_brackets() {
        let url: UpstreamUrl = "smtp://[::1]:2525".parse().unwrap();
        assert_eq!(address(&url), "[::1]:2525");
    }
}
