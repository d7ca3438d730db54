//! A [`Mailer`] hands over one message at a time over one connection, and tells what it heard.

use std::net::SocketAddr;
use std::time::Duration;

use mail_send::{Error, SmtpClient};
use tokio::net::TcpStream;

/// How long the other side may take for anything. All of it happens on this machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// One SMTP connection, as client.
pub(super) struct Mailer {
    client: SmtpClient<TcpStream>,
}

/// The reply that decided about a message: the refusal, or the one at the end of the data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heard {
    /// The reply code.
    pub(super) code: u16,
    /// The reply on one line.
    pub(super) text: String,
}

impl Mailer {
    /// Connects and says EHLO with this name.
    pub(super) async fn connect(server: SocketAddr, name: &str) -> Result<Self, Error> {
        let mut client = SmtpClient::connect(server, PATIENCE).await?;
        client.stream.set_nodelay(true)?;
        let greeting = tokio::time::timeout(PATIENCE, client.read())
            .await
            .map_err(|_| Error::Timeout)??;
        accept(greeting)?;
        accept(client.cmd(format!("EHLO {name}\r\n")).await?)?;
        Ok(Self { client })
    }

    /// Offers a message to one recipient. The paths are in angle brackets; lines end in CRLF.
    ///
    /// # Errors
    /// When the connection broke or the other side cannot be understood. A refusal is no error.
    pub(super) async fn send(
        &mut self,
        reverse_path: &str,
        forward_path: &str,
        message: &[u8],
    ) -> Result<Heard, Error> {
        for command in [
            format!("MAIL FROM:{reverse_path}\r\n"),
            format!("RCPT TO:{forward_path}\r\n"),
        ] {
            let reply = Heard::from(self.client.cmd(command).await?);
            if reply.code >= 300 {
                accept(self.client.cmd("RSET\r\n").await?)?;
                return Ok(reply);
            }
        }
        // The client ends the last line itself.
        let message = message.strip_suffix(b"\r\n").unwrap_or(message);
        match self.client.data(message).await {
            Ok(reply) | Err(Error::UnexpectedReply(reply)) => Ok(reply.into()),
            Err(error) => Err(error),
        }
    }

    /// Takes leave.
    pub(super) async fn quit(self) {
        // Whoever does not answer this has lost nothing.
        let _ = self.client.quit().await;
    }
}

fn accept(reply: smtp_proto::Response<String>) -> Result<(), Error> {
    if (200..300).contains(&reply.code) {
        Ok(())
    } else {
        Err(Error::UnexpectedReply(reply))
    }
}

impl From<smtp_proto::Response<String>> for Heard {
    fn from(reply: smtp_proto::Response<String>) -> Self {
        let message = reply.message.replace(['\r', '\n'], " ");
        let text = match reply.esc {
            [0, ..] => format!("{} {message}", reply.code),
            [class, subject, detail] => {
                format!("{} {class}.{subject}.{detail} {message}", reply.code)
            }
        };
        Self {
            code: reply.code,
            text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: u16, esc: [u8; 3], message: &str, text: &str) {
        let reply = smtp_proto::Response {
            code,
            esc,
            message: message.to_owned(),
        };
        assert_eq!(Heard::from(reply).text, text);
    }

    #[test]
    fn a_reply_reads_as_one_line() {
        check(
            550,
            [5, 7, 1],
            "Recipient suppressed",
            "550 5.7.1 Recipient suppressed",
        );
        check(354, [0, 0, 0], "Go ahead", "354 Go ahead");
        check(250, [2, 0, 0], "Ok\nqueued", "250 2.0.0 Ok queued");
    }
}
