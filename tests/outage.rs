//! What happens when Redis is down, frozen, loading, empty, refuses or tells nonsense: mail waits,
//! nobody is mailed by mistake, and all is well again afterwards (F11 to F14, S1, S4, S8, X43).

mod answers;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Act, Client, FakeUpstream, Gateway, Options, RedisServer, eventually};
use answers::{at_rcpt, is_ready, report, until_well, write};

const OUT: &str = "out@example.net";
const FINE: &str = "b@example.net";
const LOOKUP_FAILED: &str = "451 4.3.0 Temporary lookup failure";

/// Redis that has on disk what it acknowledged.
const DURABLE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

/// A gateway over a Redis in which one recipient has opted out.
struct Scene {
    redis: RedisServer,
    upstream: FakeUpstream,
    gateway: Gateway,
}

impl Scene {
    fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, |options| options)
    }

    fn start_with(arguments: &[&str], more: impl Fn(Options) -> Options) -> Self {
        let redis = RedisServer::start_with(arguments);
        let upstream = FakeUpstream::start();
        let options = Options::before(&upstream).store_url(&redis.url());
        let gateway = more(options).start();
        gateway.admin().opt_out(OUT);
        let scene = Self {
            redis,
            upstream,
            gateway,
        };
        scene.is_well();
        scene
    }

    #[track_caller]
    fn is_well(&self) {
        until_well(&self.gateway, OUT, FINE);
    }

    /// Nobody is relayed and nobody is refused for good: everybody hears 451, and soon.
    #[track_caller]
    fn defers(&self) {
        for address in [OUT, FINE] {
            let begun = Instant::now();
            assert_eq!(at_rcpt(&self.gateway, address), LOOKUP_FAILED);
            // Twice the store's timeout (S1), and a busy machine.
            assert!(
                begun.elapsed() < Duration::from_secs(2),
                "{:?}",
                begun.elapsed()
            );
        }
    }

    /// Changes are refused over HTTP and by SMTP alike: what is acknowledged is durable (B6).
    #[track_caller]
    fn takes_no_writes(&self) {
        assert_eq!(write(&self.gateway, "c@example.net"), 503);
        assert!(report(&self.gateway, "d@example.net").starts_with("451 4.3.0 "));
    }
}

#[test]
fn f11_redis_is_killed_and_comes_back() {
    let mut scene = Scene::start(&DURABLE);
    let offered = scene.upstream.commands_of("RCPT").len();
    scene.redis.kill();
    eventually("the loss to be noticed", || {
        (!is_ready(&scene.gateway)).then_some(())
    });
    scene.defers();
    scene.takes_no_writes();
    assert_eq!(scene.upstream.commands_of("RCPT").len(), offered);
    assert_eq!(scene.gateway.admin().get("/livez").status, 200);

    scene.redis.restart_and_wait();
    scene.is_well();
    assert!(is_ready(&scene.gateway));
    // The new server does not know our script yet (S3).
    assert_eq!(write(&scene.gateway, "c@example.net"), 200);
    assert!(at_rcpt(&scene.gateway, "c@example.net").starts_with("550 5.7.1 "));
    // What was deferred stands in the log.
    eventually("the line in the log", || {
        let log = scene.gateway.log();
        let mut deferred = log.iter().filter(|line| line["verdict"] == "defer");
        deferred
            .find(|line| line["reason"] == "unavailable")
            .map(|_| ())
    });
}

#[test]
fn f11_redis_is_loading() {
    let mut scene = Scene::start(&DURABLE);
    let slow = [
        "--key-load-delay",
        "300000",
        "--loading-process-events-interval-bytes",
        "1024",
    ];
    scene.redis.restart(&slow);
    let mut deferred = 0;
    eventually("Redis to have loaded", || {
        let answer = at_rcpt(&scene.gateway, OUT);
        assert!(!answer.starts_with("250"), "relayed while loading");
        deferred += usize::from(answer == LOOKUP_FAILED);
        answer.starts_with("550").then_some(())
    });
    assert!(deferred > 0, "it was never loading");
    scene.is_well();
}

#[test]
fn f11_an_emptied_redis_raises_an_alarm_and_never_looks_like_nobody_is_suppressed() {
    let scene = Scene::start(&[]);
    assert_eq!(scene.redis.command("FLUSHALL"), "+OK\r\n");
    scene.defers();
    scene.takes_no_writes();
    assert!(!is_ready(&scene.gateway));
    scene.gateway.wait_for_stderr("it was emptied; restore it");

    // Starting again does not make it forget what it knew.
    let Scene {
        redis,
        upstream,
        mut gateway,
    } = scene;
    gateway.kill();
    let options = Options::before(&upstream).store_url(&redis.url());
    let gateway = options.dir(&gateway.dir()).start();
    assert_eq!(at_rcpt(&gateway, OUT), LOOKUP_FAILED);
    gateway.wait_for_stderr("emptied or swapped");
}

#[test]
fn f11_scripts_are_loaded_again() {
    let scene = Scene::start(&[]);
    assert_eq!(scene.redis.command("SCRIPT FLUSH"), "+OK\r\n");
    assert_eq!(write(&scene.gateway, "c@example.net"), 200);
    assert!(at_rcpt(&scene.gateway, "c@example.net").starts_with("550 5.7.1 "));
}

#[test]
fn f12_redis_is_frozen_and_thawed() {
    let scene = Scene::start(&[]);
    scene.redis.freeze();
    // Many at once wait no longer than one.
    std::thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| scene.defers());
        }
    });
    scene.takes_no_writes();
    scene.redis.thaw();
    scene.is_well();
}

#[test]
fn f12_redis_pauses_its_clients() {
    let scene = Scene::start(&[]);
    assert_eq!(scene.redis.command("CLIENT PAUSE 1500 ALL"), "+OK\r\n");
    assert_eq!(at_rcpt(&scene.gateway, OUT), LOOKUP_FAILED);
    scene.is_well();
}

#[test]
fn f14_redis_refuses_to_write() {
    let scene = Scene::start(&[]);
    for (trouble, remedy) in [
        (
            "CONFIG SET min-replicas-to-write 3",
            "CONFIG SET min-replicas-to-write 0",
        ),
        ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"),
    ] {
        assert_eq!(scene.redis.command(trouble), "+OK\r\n");
        scene.takes_no_writes();
        // Who is known to be suppressed stays suppressed, and mail goes on.
        assert!(
            at_rcpt(&scene.gateway, OUT).starts_with("550 5.7.1 "),
            "{trouble}"
        );
        assert!(
            at_rcpt(&scene.gateway, FINE).starts_with("250 "),
            "{trouble}"
        );
        assert_eq!(scene.redis.command(remedy), "+OK\r\n");
    }
    assert_eq!(write(&scene.gateway, "c@example.net"), 200);
}

#[test]
fn f14_redis_refuses_to_read() {
    let scene = Scene::start(&[]);
    for (trouble, remedy) in [
        ("ACL SETUSER default -hgetall", "ACL SETUSER default +@all"),
        (
            "CONFIG SET requirepass secret",
            "ACL SETUSER default nopass",
        ),
    ] {
        assert_eq!(scene.redis.command(trouble), "+OK\r\n");
        // A session that had logged in would not notice a new password.
        let kill = ["CLIENT", "KILL", "TYPE", "normal"];
        scene
            .redis
            .session(&[&["AUTH", "default", "secret"], &kill]);
        eventually("look-ups to fail", || {
            (at_rcpt(&scene.gateway, OUT) == LOOKUP_FAILED).then_some(())
        });
        scene.defers();
        repair(&scene.redis, remedy);
        scene.is_well();
    }
}

#[test]
fn f13_f14_redis_became_a_replica_without_a_master() {
    let scene = Scene::start(&["--replica-serve-stale-data", "no"]);
    assert_eq!(scene.redis.command("REPLICAOF 127.0.0.1 1"), "+OK\r\n");
    eventually("look-ups to fail", || {
        (at_rcpt(&scene.gateway, FINE) == LOOKUP_FAILED).then_some(())
    });
    scene.defers();
    scene.takes_no_writes();
    assert_eq!(scene.redis.command("REPLICAOF NO ONE"), "+OK\r\n");
    scene.is_well();
    // Operators have a connection of their own, which finds out for itself.
    eventually("writes to be taken", || {
        (write(&scene.gateway, "c@example.net") == 200).then_some(())
    });
}

#[test]
fn s4_x43_a_value_that_makes_no_sense_is_a_failed_look_up() {
    let scene = Scene::start(&[]);
    let key = |address: &str| {
        let key = scene.gateway.admin().key(address);
        format!("sendgate:{{default:{key}}}:record")
    };
    let out = key(OUT);
    let huge = "redis.call('HSET', KEYS[1], 'address', string.rep('x', 33554432)) return 1";
    let before = scene.gateway.resident_kib();
    for (what, spoils) in [
        ("half a JSON object", vec!["HSET", &out, "optout:*", "{\""]),
        ("no version", vec!["HSET", &out, "version", "many"]),
        ("a huge field", vec!["EVAL", huge, "1", &out]),
        ("a huge string", vec!["SETRANGE", &out, "67108863", "x"]),
        ("a list", vec!["LPUSH", &out, "x"]),
    ] {
        let saved = scene.redis.command_of(&["COPY", &out, "{saved}"]);
        assert_eq!(saved, ":1\r\n", "{what}");
        if matches!(spoils[0], "SETRANGE" | "LPUSH") {
            scene.redis.command_of(&["DEL", &out]);
        }
        let spoilt = scene.redis.command_of(&spoils);
        assert!(spoilt.starts_with(':'), "{what}: {spoilt}");
        assert_eq!(at_rcpt(&scene.gateway, OUT), LOOKUP_FAILED, "{what}");
        // It is the trouble of one recipient only, once the nonsense has been read to its end.
        eventually(what, || {
            at_rcpt(&scene.gateway, FINE)
                .starts_with("250 ")
                .then_some(())
        });
        assert_eq!(
            scene
                .redis
                .command_of(&["COPY", "{saved}", &out, "REPLACE"]),
            ":1\r\n"
        );
        scene.redis.command_of(&["DEL", "{saved}"]);
        scene.is_well();
    }
    let grown = scene.gateway.resident_kib().saturating_sub(before);
    assert!(grown < 32 * 1024, "it took {grown} KiB to read nonsense");
}

#[test]
fn s1_a_transactional_stream_may_pass_unchecked_and_each_pass_is_logged() {
    let mut scene = Scene::start_with(&[], |options| {
        options
            .listener("")
            .listener("stream = \"receipts\"")
            .extra("[streams.receipts]\nclass = \"transactional\"\non_unavailable = \"pass\"")
    });
    scene.redis.kill();
    eventually("the loss to be noticed", || {
        (!is_ready(&scene.gateway)).then_some(())
    });
    scene.defers();
    let mut client = Client::hello(scene.gateway.smtp_number(1));
    client.deliver("customer@example.net", "250 ");
    let line = eventually("the line in the log", || {
        let mut log = scene.gateway.log().into_iter();
        log.find(|line| line["recipient"] == "customer@example.net")
    });
    assert_eq!(line["verdict"], "relay");
    assert_eq!(line["reason"], "unavailable");
    assert_eq!(line["stream"], "receipts");
}

#[test]
fn s8_the_gateway_starts_without_redis_and_is_ready_once_it_comes() {
    let mut redis = RedisServer::start();
    redis.kill();
    let upstream = FakeUpstream::start();
    let mut gateway = Options::before(&upstream).store_url(&redis.url()).start();
    assert!(!is_ready(&gateway));
    assert_eq!(at_rcpt(&gateway, FINE), LOOKUP_FAILED);
    assert!(gateway.is_running());
    redis.restart_and_wait();
    eventually("the gateway to be ready", || {
        is_ready(&gateway).then_some(())
    });
    gateway.client().deliver(FINE, "250 ");
}

#[test]
fn s8_a_redis_filled_with_another_pepper_stops_the_start() {
    let scene = Scene::start(&[]);
    let stranger = Options::before(&scene.upstream).store_url(&scene.redis.url());
    let Err(said) = stranger.try_start() else {
        panic!("it started");
    };
    assert!(said.contains("another pepper"), "{said}");
    assert!(said.contains("restore the pepper"), "{said}");
}

#[test]
fn what_one_gateway_learns_the_others_know_at_once() {
    let redis = RedisServer::start();
    let upstream = FakeUpstream::scripted(|moment| match moment.line {
        "RCPT TO:<nobody@example.net>" => Act::Say("550 5.1.1 no such user"),
        _ => Act::Usual,
    });
    let options = Options::before(&upstream)
        .store_url(&redis.url())
        .env("SENDGATE_KEYS_PEPPER", &"0123456789abcdef".repeat(4));
    let gateways: Vec<_> = (0..3).map(|_| options.clone().start()).collect();
    gateways[0].admin().opt_out(OUT);
    assert!(at_rcpt(&gateways[1], "nobody@example.net").starts_with("550 5.1.1 no such user"));
    assert!(report(&gateways[2], "bounced@example.net").starts_with("250 "));
    for gateway in &gateways {
        assert!(at_rcpt(gateway, OUT).starts_with("550 5.7.1 "));
        let refusal = at_rcpt(gateway, "nobody@example.net");
        assert!(
            refusal.ends_with("Recipient suppressed (hard bounce)"),
            "{refusal}"
        );
        assert!(at_rcpt(gateway, "bounced@example.net").starts_with("550 5.1.1 "));
    }
}

#[test]
fn b4_f18_the_same_report_many_times_at_once_counts_once() {
    let scene = Arc::new(Scene::start(&[]));
    let senders: Vec<_> = (0..32)
        .map(|_| {
            let scene = Arc::clone(&scene);
            std::thread::spawn(move || report(&scene.gateway, "bounced@example.net"))
        })
        .collect();
    for sender in senders {
        // Whoever lost the race for the record too often is told to come again.
        let answer = sender.join().unwrap();
        assert!(
            answer.starts_with("250 ") || answer.starts_with("451 4.3.0 "),
            "{answer}"
        );
    }
    assert!(report(&scene.gateway, "bounced@example.net").starts_with("250 "));
    let record = scene.gateway.admin().record("bounced@example.net");
    assert_eq!(record["hard"]["count"], json!(1));
}

/// Gives the default user back what was taken from it, with the password it may have by now.
fn repair(redis: &RedisServer, remedy: &str) {
    let remedy: Vec<&str> = remedy.split(' ').collect();
    let repaired = redis.session(&[&["AUTH", "default", "secret"], &remedy]);
    assert_eq!(
        repaired.last().map(String::as_str),
        Some("+OK\r\n"),
        "{repaired:?}"
    );
}
