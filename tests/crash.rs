//! What a crash, a signal, a reload or a wrong configuration may cost: never a message that was
//! acknowledged (C1 to C5, S8, F20, F23, F24).

mod ledger;
mod reload;

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::dice::Dice;
use crate::harness::{Act, Client, FakeUpstream, Gateway, Options, eventually};
use ledger::{Load, Sender};

/// Every step of the upstream's dialog is a point at which the gateway may die.
#[test]
fn c1_f20_killed_at_each_step_of_the_upstream() {
    // The dot is the one point after which the message may be there although nobody heard so.
    for verb in ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "BODY", "."] {
        let may_be_there = verb == ".";
        let armed = Arc::new(AtomicBool::new(false));
        let victim = Arc::new(AtomicU32::new(0));
        let upstream = {
            let (armed, victim) = (Arc::clone(&armed), Arc::clone(&victim));
            FakeUpstream::scripted(move |moment| {
                if moment.verb == verb && armed.swap(false, Ordering::SeqCst) {
                    kill(victim.load(Ordering::SeqCst));
                }
                Act::Usual
            })
        };
        let options = Options::before(&upstream).upstream_keys("idle_connections = 0");
        let mut gateway = options.clone().start();
        victim.store(gateway.pid(), Ordering::SeqCst);
        let mut sender = Sender::new(1);
        // EHLO made the gateway ask what the upstream offers; the transaction counts here.
        sender.connect(gateway.smtp()).unwrap();
        armed.store(true, Ordering::SeqCst);
        // More than the system's buffers hold: the dot must not be on its way already at BODY.
        let heard = sender.send_message("<1@example.com>", 20_000_000);
        assert!(heard.is_none(), "{verb}: {heard:?}");
        gateway.wait_exit();
        let there = upstream.messages().len();
        assert!(there == 0 || may_be_there, "{verb}: {there}");

        let gateway = options.dir(&gateway.dir()).start();
        sender.connect(gateway.smtp()).unwrap();
        assert_eq!(
            sender.send_message("<1@example.com>", 10),
            Some(250),
            "{verb}"
        );
        assert_eq!(upstream.messages().len(), there + 1, "{verb}");
    }
}

/// What the client heard before the gateway died stands, whatever it was.
#[test]
fn c1_f20_killed_at_each_step_of_the_client() {
    let upstream = FakeUpstream::start();
    let options = Options::before(&upstream);
    let mut gateway = options.clone().start();
    let dir = gateway.dir();
    gateway.admin().opt_out("out@example.net");
    for step in 0..6 {
        let mut client = gateway.client();
        if step > 0 {
            client.say("MAIL FROM:<a@example.com>", "250 ");
        }
        if step > 1 {
            client.say("RCPT TO:<b@example.net>", "250 ");
        }
        if step > 2 {
            client.say("DATA", "354 ");
        }
        if step > 3 {
            client.send("Subject: killed\r\n\r\nHello.\r\n");
        }
        if step > 4 {
            client.send(".\r\n");
            client.expect("250 ");
        }
        gateway.kill();
        client.rest();
        assert_eq!(
            upstream.messages().len(),
            usize::from(step > 4),
            "step {step}"
        );
        gateway = options.clone().dir(&dir).start();
        // What the store acknowledged has survived each of the crashes.
        let mut client = gateway.client();
        client.say("MAIL FROM:<a@example.com>", "250 ");
        client.say("RCPT TO:<out@example.net>", "550 5.7.1 ");
    }
}

#[test]
fn c1_f20_nothing_acknowledged_is_lost_when_it_is_killed_again_and_again() {
    let upstream = slow_upstream();
    let options = Options::before(&upstream);
    let mut gateway = options.clone().start();
    let dir = gateway.dir();
    let load = Load::start(8, gateway.smtp());
    let mut dice = Dice::new(20);
    for round in 0..12 {
        let until =
            Instant::now() + Duration::from_millis(50 + u64::try_from(dice.below(250)).unwrap());
        // Some work first, so that each crash hits something.
        load.wait_for_deliveries(round * 5);
        eventually("the moment of the crash", || {
            (Instant::now() >= until).then_some(())
        });
        gateway.kill();
        gateway = options.clone().dir(&dir).start();
        load.go_on_at(gateway.smtp());
    }
    let tally = load.stop();
    tally.check(&upstream.messages());
    assert!(tally.delivered() >= 60, "{} delivered", tally.delivered());
}

#[test]
fn c2_f23_sigterm_under_load_loses_nothing_and_doubles_nothing() {
    let upstream = slow_upstream();
    let mut gateway = Options::before(&upstream).start();
    let mut idle = [gateway.client(), gateway.client()];
    let mut waiting = Client::connect(gateway.smtp());
    let load = Load::start(16, gateway.smtp());
    load.wait_for_deliveries(100);
    gateway.signal("TERM");
    for client in &mut idle {
        client.expect("421 4.3.2 ");
        client.expect_closed();
    }
    waiting.expect("421 4.3.2 ");
    assert!(gateway.wait_exit().success());
    let tally = load.stop();
    let messages = upstream.messages();
    tally.check(&messages);
    // Nothing was cut between the upstream's 250 and ours.
    let accepted = messages.iter().filter(|message| message.accepted).count();
    assert_eq!(tally.delivered(), accepted);
    assert!(std::net::TcpStream::connect(gateway.smtp()).is_err());
}

#[test]
fn c2_a_message_in_flight_is_finished_after_sigterm() {
    let upstream = FakeUpstream::scripted(|moment| match moment.verb {
        "." => Act::After(Duration::from_millis(300), Box::new(Act::Usual)),
        _ => Act::Usual,
    });
    let mut gateway = Options::before(&upstream).start();
    let mut in_data = gateway.client();
    in_data.envelope(&["b@example.net"]);
    in_data.say("DATA", "354 ");
    in_data.send("Subject: a\r\n\r\nbefore\r\n");
    let mut after_dot = gateway.client();
    after_dot.envelope(&["c@example.net"]);
    after_dot.data("Subject: b\r\n\r\nHello.\r\n");
    gateway.signal("TERM");
    gateway.wait_for_stderr("draining");
    assert!(gateway.is_running());
    in_data.send("after\r\n.\r\n");
    for client in [&mut in_data, &mut after_dot] {
        client.expect("250 ");
        client.expect("421 4.3.2 ");
        client.expect_closed();
    }
    assert!(gateway.wait_exit().success());
    assert_eq!(upstream.messages().len(), 2);
    // The log was written to its end.
    let delivered = gateway.log();
    assert_eq!(delivered.len(), 2);
    assert!(delivered.iter().all(|line| line["outcome"] == "delivered"));
}

#[test]
fn c2_the_drain_timeout_cuts_off_a_client_that_never_ends_its_message() {
    let upstream = FakeUpstream::start();
    let mut gateway = Options::before(&upstream)
        .timeouts("drain = \"300ms\"")
        .start();
    let mut client = gateway.client();
    client.envelope(&["b@example.net"]);
    client.say("DATA", "354 ");
    client.send("Subject: a\r\n\r\nno end\r\n");
    gateway.signal("TERM");
    assert!(gateway.wait_exit().success());
    client.rest();
    assert!(upstream.messages().is_empty());
}

#[test]
fn c4_no_message_content_is_written_to_disk() {
    const MARK: &str = "this-is-the-marked-body";
    let upstream = FakeUpstream::start();
    let mut gateway = Options::before(&upstream).listener("scopes = true").start();
    gateway.admin().change(
        "c@example.net",
        "opt-out",
        &json!({"scope": "list:news.example.com"}),
    );
    let mut client = gateway.client();
    client.envelope(&["b@example.net", "c@example.net"]);
    client.data(format!("Subject: {MARK}\r\n\r\n{MARK}\r\n"));
    client.expect("250 ");
    client.envelope(&["b@example.net"]);
    client.say("DATA", "354 ");
    client.send(format!(
        "Subject: {MARK}\r\n\r\n{}",
        format!("{MARK}\r\n").repeat(20_000)
    ));
    gateway.wait_for_log(2);
    assert_is_nowhere(MARK, gateway.dir().path());
    gateway.kill();
    assert_is_nowhere(MARK, gateway.dir().path());
}

/// An upstream that takes its time here and there, so that every step is met by chance.
fn slow_upstream() -> FakeUpstream {
    FakeUpstream::scripted(|moment| {
        let slow = (moment.connection * 7 + moment.nth * 3 + moment.verb.len()) % 5 == 0;
        if slow && matches!(moment.verb, "MAIL" | "RCPT" | "DATA" | ".") {
            Act::After(Duration::from_millis(15), Box::new(Act::Usual))
        } else {
            Act::Usual
        }
    })
}

fn kill(pid: u32) {
    let killed = Command::new("kill").args(["-9", &pid.to_string()]).status();
    assert!(killed.unwrap().success());
    // Whatever is said from here on is said to the dead.
    eventually("the gateway to be dead", || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        (stat.is_empty() || stat.contains(") Z")).then_some(())
    });
}

#[track_caller]
fn assert_is_nowhere(mark: &str, folder: &std::path::Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            assert_is_nowhere(mark, &entry.path());
        } else if kind.is_file() {
            let bytes = std::fs::read(entry.path()).unwrap();
            let found = memchr::memmem::find(&bytes, mark.as_bytes());
            assert!(found.is_none(), "in {}", entry.path().display());
        }
    }
}

/// Starts with these options and answers what the program said before it gave up.
#[track_caller]
fn start_fails(options: Options) -> String {
    match options.try_start() {
        Ok(gateway) => panic!("it started:\n{}", Gateway::stderr(&gateway)),
        Err(said) => said,
    }
}
