//! The [`Courier`] takes reports back to the gateway's returns listener.

use std::net::SocketAddr;
use std::time::Duration;

use super::mailer::Mailer;

/// How often a report is tried. A smarthost would go on for days.
const ATTEMPT_LIMIT: u32 = 6;

/// The first pause between two attempts; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Takes reports to one returns listener.
#[derive(Debug)]
pub(super) struct Courier {
    /// The returns listener. In the world the MX record of the return path's domain leads there.
    pub(super) returns: SocketAddr,
    /// The name it says EHLO with.
    pub(super) host: &'static str,
}

/// What became of one attempt.
#[derive(Debug)]
enum Attempt {
    Delivered,
    /// Worth another attempt.
    Deferred(String),
    /// Refused for good. A report is never answered by another report (B8).
    Refused(String),
}

impl Courier {
    /// Delivers a report; tells the log when it cannot.
    pub(super) async fn deliver(&self, return_path: &str, report: &[u8]) {
        let mut pause = FIRST_PAUSE;
        for attempt in 1..=ATTEMPT_LIMIT {
            match self.attempt(return_path, report).await {
                Attempt::Delivered => return,
                Attempt::Refused(reply) => {
                    tracing::error!(reply, "the returns listener refused a report");
                    return;
                }
                Attempt::Deferred(why) if attempt == ATTEMPT_LIMIT => {
                    tracing::error!(why, "a report could not be delivered");
                }
                Attempt::Deferred(_) => tokio::time::sleep(pause).await,
            }
            pause *= 2;
        }
    }

    async fn attempt(&self, return_path: &str, report: &[u8]) -> Attempt {
        let mut mailer = match Mailer::connect(self.returns, self.host).await {
            Ok(mailer) => mailer,
            Err(error) => return Attempt::Deferred(error.to_string()),
        };
        // RFC 3464 §2: the null reverse-path, so that a report that bounces ends there.
        let attempt = match mailer.send("<>", return_path, report).await {
            Ok(reply) if reply.code < 300 => Attempt::Delivered,
            Ok(reply) if reply.code >= 500 => Attempt::Refused(reply.text),
            Ok(reply) => Attempt::Deferred(reply.text),
            Err(error) => return Attempt::Deferred(error.to_string()),
        };
        mailer.quit().await;
        attempt
    }
}
