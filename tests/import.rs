//! `sendgate recipient import`: lists that were kept elsewhere, as often as you like (A3, A4).

use std::fmt::Write as _;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::harness::{FakeUpstream, Gateway, Options, RedisServer, eventually, plain_gateway};

fn command(gateway: &Gateway, arguments: &[&str]) -> Command {
    let folder = gateway.dir();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sendgate"));
    command
        .arg("--config")
        .arg(folder.path().join("sendgate.toml"))
        .args(["recipient", "import"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Imports this list from standard input.
fn import(gateway: &Gateway, arguments: &[&str], list: impl AsRef<[u8]>) -> Output {
    let arguments = [&["-"], arguments].concat();
    let mut child = command(gateway, &arguments).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let list = list.as_ref().to_owned();
    // It may not be read to its end.
    let writer = std::thread::spawn(move || stdin.write_all(&list));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join().unwrap();
    output
}

/// The lines of JSON that it answers; the last one has the sums.
fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Imports a list that has no fault; the sums.
#[track_caller]
fn sums(gateway: &Gateway, arguments: &[&str], list: impl AsRef<[u8]>) -> Value {
    let output = import(gateway, &[&["--json"], arguments].concat(), list);
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    lines(&output).pop().unwrap()
}

#[track_caller]
fn check_sums(sums: &Value, rows: u64, recorded: u64, known: u64) {
    let told = ["rows", "recorded", "known", "failed"].map(|name| sums[name].as_u64().unwrap());
    assert_eq!(told, [rows, recorded, known, 0], "{sums}");
}

/// A list of recipients `0` to `count`, of every reason.
fn list(count: usize) -> String {
    let mut list = "Email;Type;Created\r\n".to_owned();
    for number in 0..count {
        let reason = ["BOUNCE", "Complaint", "unsubscribe", "Do Not Email"][number % 4];
        let _ = write!(
            list,
            "\"R{number}@Example.net\";{reason};2024-03-05 10:{:02}:00\r\n",
            number % 60
        );
    }
    list
}

/// All of these are refused at RCPT.
#[track_caller]
fn check_refused(gateway: &Gateway, numbers: impl IntoIterator<Item = usize>) {
    let mut client = gateway.client();
    client.say("MAIL FROM:<a@example.com>", "250 ");
    for number in numbers {
        let code = if number % 4 == 0 {
            "550 5.1.1 "
        } else {
            "550 5.7.1 "
        };
        client.say(&format!("RCPT TO:<r{number}@example.net>"), code);
    }
}

fn history(gateway: &Gateway, recipient: &str) -> Vec<Value> {
    let path = format!("/v1/recipients/{recipient}/history");
    let history = gateway.admin().get(&path).json();
    history["history"].as_array().unwrap().clone()
}

fn a_thousand_rows(gateway: &Gateway) {
    let list = list(1000);
    check_sums(&sums(gateway, &["--dry-run"], &list), 1000, 1000, 0);
    let mut client = gateway.client();
    client.say("MAIL FROM:<a@example.com>", "250 ");
    client.say("RCPT TO:<r0@example.net>", "250 ");
    client.say("RSET", "250 ");
    check_sums(&sums(gateway, &[], &list), 1000, 1000, 0);
    check_refused(gateway, (0..20).chain(980..1000));
    let before: Vec<_> = (0..4)
        .map(|number| gateway.admin().show(&format!("r{number}@example.net")))
        .collect();
    check_sums(&sums(gateway, &[], &list), 1000, 0, 1000);
    for (number, before) in before.iter().enumerate() {
        let recipient = format!("r{number}@example.net");
        assert_eq!(&gateway.admin().show(&recipient), before);
        let history = history(gateway, &recipient);
        assert_eq!(history.len(), 1, "{history:?}");
        assert_eq!(history[0]["event"]["via"], "import");
        let at = format!("2024-03-05T10:0{number}:00.000Z");
        assert_eq!(history[0]["event"]["at"], at.as_str(), "the original time");
    }
}

#[test]
fn a4_a_thousand_rows_into_the_embedded_store() {
    let (_upstream, gateway) = plain_gateway();
    a_thousand_rows(&gateway);
}

#[test]
fn a4_a_thousand_rows_into_redis() {
    let redis = RedisServer::start();
    let upstream = FakeUpstream::start();
    let gateway = Options::before(&upstream).store_url(&redis.url()).start();
    a_thousand_rows(&gateway);
}

#[test]
fn a4_killed_half_way_and_repeated_it_is_complete() {
    let redis = RedisServer::start();
    let upstream = FakeUpstream::start();
    let options = Options::before(&upstream).store_url(&redis.url());
    let mut gateway = options.clone().start();
    let dir = gateway.dir();
    let file = dir.path().join("list.csv");
    std::fs::write(&file, list(30_000)).unwrap();
    let path = file.to_str().unwrap();
    let has_some = || {
        let reply = redis.command("DBSIZE");
        let size: u64 = reply.trim_start_matches(':').trim_end().parse().unwrap();
        (size > 6000).then_some(size)
    };

    // First the command dies, then the gateway.
    let mut child = command(&gateway, &[path]).spawn().unwrap();
    eventually("some rows in Redis", has_some);
    child.kill().unwrap();
    child.wait().unwrap();
    gateway.kill();
    let gateway = options.dir(&dir).start();

    let again = command(&gateway, &[path, "--json"]).output().unwrap();
    assert!(again.status.success(), "{again:?}");
    let sums = lines(&again).pop().unwrap();
    let number = |name: &str| sums[name].as_u64().unwrap();
    assert_eq!(number("recorded") + number("known"), 30_000, "{sums}");
    assert!(number("known") > 0, "{sums}");
    check_refused(&gateway, (0..30_000).step_by(997));
    let hard = gateway.admin().record("r0@example.net");
    assert_eq!(hard["hard"]["count"], 1);
    check_sums(
        &lines(&command(&gateway, &[path, "--json"]).output().unwrap())[0],
        30_000,
        0,
        30_000,
    );
}

#[test]
fn s1_mail_in_the_middle_of_an_import_is_judged_in_time() {
    let redis = RedisServer::start();
    let upstream = FakeUpstream::start();
    let gateway = Options::before(&upstream).store_url(&redis.url()).start();
    gateway.admin().opt_out("out@example.net");
    let file = gateway.dir().path().join("list.csv");
    std::fs::write(&file, list(20_000)).unwrap();
    let mut child = command(&gateway, &[file.to_str().unwrap()])
        .spawn()
        .unwrap();
    let mut judged = 0;
    // A look-up that is late is answered 451 (S1).
    while child.try_wait().unwrap().is_none() {
        // A session of its own each time: one that resets a hundred times is cut off (W13).
        let mut client = gateway.client();
        client.say("MAIL FROM:<a@example.com>", "250 ");
        client.say("RCPT TO:<out@example.net>", "550 5.7.1 ");
        client.say("RCPT TO:<b@example.net>", "250 ");
        judged += 1;
    }
    assert!(child.wait().unwrap().success());
    assert!(judged > 5, "{judged} judged");
    check_refused(&gateway, (0..20_000).step_by(999));
}

#[test]
fn a4_rows_that_fail_are_told_by_line_and_the_others_are_taken() {
    let (_upstream, gateway) = plain_gateway();
    let list = "email,reason,created_at\n\
                good@example.net,hard_bounce,2024-01-01\n\
                not an address,hard_bounce,\n\
                soft@example.net,soft_bounce,\n\
                odd@example.net,non_transaction,\n\
                later@example.net,complaint,2999-01-01\n\
                none@example.net,,\n\
                \"far\u{e9}@example.net\",Unsubscribe,Sun, 21 Jan 2024\n";
    let output = import(&gateway, &["--json"], list);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let mut lines = lines(&output);
    let sums = lines.pop().unwrap();
    let told: Vec<_> = lines
        .iter()
        .map(|line| (line["line"].as_u64().unwrap(), line["error"].is_string()))
        .collect();
    let expected = [3, 4, 5, 6, 7, 8].map(|line| (line, line != 4));
    assert_eq!(told, expected, "{lines:?}");
    let counted = ["rows", "recorded", "skipped", "failed"].map(|name| sums[name].as_u64());
    assert_eq!(counted, [Some(7), Some(1), Some(1), Some(5)], "{sums}");
    assert_eq!(
        gateway.admin().record("good@example.net")["hard"]["count"],
        1
    );

    let shown = import(&gateway, &["--reason", "complaint"], list);
    let complained = String::from_utf8_lossy(&shown.stderr);
    assert!(complained.contains("-, line 5: the reason"), "{complained}");
    assert!(complained.contains("4 of 7 rows"), "{complained}");
    assert!(gateway.admin().record("none@example.net")["complaint"].is_object());
}

#[test]
fn what_is_no_list_is_refused_at_once() {
    let (_upstream, mut gateway) = plain_gateway();
    for (garbage, word) in [
        (
            &b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00"[..],
            "no column of addresses",
        ),
        (b"\xff\xfee\x00m\x00", "UTF-16"),
        (b"[{\"email\": \"a@example.net\"}]", "one object a line"),
        (b"Contact,Phone\nx,1\n", "no column of addresses"),
    ] {
        let output = import(&gateway, &["--reason", "opt-out"], garbage);
        let complained = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{complained}");
        assert!(complained.contains(word), "{word}: {complained}");
    }
    let output = command(&gateway, &["nowhere.csv"]).output().unwrap();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(
        complained.contains("nowhere.csv: cannot be read"),
        "{complained}"
    );
    assert!(!gateway.stderr().contains("an import began"));
    check_sums(&sums(&gateway, &[], ""), 0, 0, 0);
    gateway.kill();
    let output = import(&gateway, &["--reason", "opt-out"], "a@example.net\n");
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(complained.contains("no gateway answers"), "{complained}");
}

#[test]
fn an_import_never_clears_and_leaves_what_is_newer() {
    let (_upstream, gateway) = plain_gateway();
    let admin = gateway.admin();
    for (action, recipient) in [("opt-out", "in@example.net"), ("opt-in", "in@example.net")] {
        admin.change(recipient, action, &serde_json::json!({"reason": "asked"}));
    }
    admin.block("blocked@example.net");
    let list = "{\"email\": \"in@example.net\", \"reason\": \"opt_out\", \"created\": 1704103200}\n\
                {\"email\": \"blocked@example.net\", \"reason\": \"complaint\"}\n\
                {\"email\": \"list@example.net\", \"reason\": \"opt_out\", \"list\": \"News.example.com\"}\n\
                {\"email\": \"list@example.net\", \"reason\": \"opt_out\", \"tags\": [\"offers\"]}\n";
    let told = sums(&gateway, &["--source", "old tool"], list);
    assert_eq!(
        (&told["recorded"], &told["outdated"]),
        (&3.into(), &1.into())
    );
    let opted_in = admin.record("in@example.net");
    assert!(opted_in["opt_outs"].is_null(), "{opted_in}");
    let blocked = admin.record("blocked@example.net");
    assert!(blocked["do_not_email"].is_object() && blocked["complaint"].is_object());
    let scoped = admin.record("list@example.net");
    let scopes: Vec<_> = scoped["opt_outs"].as_object().unwrap().keys().collect();
    assert_eq!(scopes, ["list:news.example.com", "topic:offers"]);
    assert_eq!(
        scoped["opt_outs"]["topic:offers"]["evidence"], "old tool",
        "{scoped}"
    );
    // Without a time it is of now, and yet the same file changes nothing.
    let before = admin.show("list@example.net");
    let told = sums(&gateway, &[], list);
    assert_eq!(
        (&told["recorded"], &told["known"]),
        (&0.into(), &3.into()),
        "{told}"
    );
    assert_eq!(admin.show("list@example.net"), before);
}

#[test]
fn a3_an_import_is_audited() {
    let (_upstream, gateway) = plain_gateway();
    let arguments = [
        "--reason", "opt-out", "--source", "crm.csv", "--note", "moved",
    ];
    sums(&gateway, &arguments, "a@example.net\nb@example.net\n");
    gateway.wait_for_stderr("an import ended");
    let said = gateway.stderr();
    for line in ["an import began", "an import ended"] {
        let line = said.lines().find(|said| said.contains(line)).unwrap();
        for word in ["crm.csv", "moved", "opt_out", "actor="] {
            assert!(line.contains(word), "{word}: {line}");
        }
    }
    let ended = said.lines().find(|line| line.contains("ended")).unwrap();
    assert!(ended.contains("recorded=2"), "{ended}");
}

#[test]
fn a_store_that_comes_back_gets_all_rows() {
    let mut redis = RedisServer::start_with(&["--appendonly", "yes"]);
    let upstream = FakeUpstream::start();
    let gateway = Options::before(&upstream).store_url(&redis.url()).start();
    let file = gateway.dir().path().join("list.csv");
    std::fs::write(&file, list(20_000)).unwrap();
    let child = command(&gateway, &[file.to_str().unwrap(), "--json"])
        .spawn()
        .unwrap();
    eventually("rows in Redis", || {
        let reply = redis.command("DBSIZE");
        let size: u64 = reply.trim_start_matches(':').trim_end().parse().unwrap();
        (size > 1500).then_some(size)
    });
    redis.kill();
    gateway.wait_for_stderr("Redis is not available");
    redis.restart_and_wait();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let sums = lines(&output).pop().unwrap();
    let number = |name: &str| sums[name].as_u64().unwrap();
    assert_eq!(number("recorded") + number("known"), 20_000, "{sums}");
    check_refused(&gateway, (0..20_000).step_by(499));
}

#[test]
fn the_api_takes_rows_only() {
    let (_upstream, gateway) = plain_gateway();
    let admin = gateway.admin();
    let begun = admin.post("/v1/imports", &serde_json::json!({}));
    assert_eq!(begun.status, 200, "{begun:?}");
    let id = begun.json()["import"].as_str().unwrap().to_owned();
    let post = |kind: &str, id: &str, body: &str| {
        admin.raw(&format!(
            "POST /v1/imports/{id}/rows HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
    };
    assert_eq!(post("application/json", &id, "{}").status, 415);
    assert_eq!(post("application/x-ndjson", "nobody", "{}").status, 404);
    let rows = "{\"address\":\"a@example.net\",\"reason\":\"opt_out\"}\n\n\
                {\"address\":\"a@example.net\",\"reason\":\"complaint\"}\n\
                {\"address\":\"nobody\",\"reason\":\"opt_out\"}\n\
                {\"address\":\"b@example.net\",\"reason\":\"opt_out\",\"at\":\"2999-01-01T00:00:00Z\"}\n\
                {\"address\":\"b@example.net\",\"reason\":\"because\"}\n";
    let taken = post("application/x-ndjson", &id, rows).json();
    assert_eq!(taken["recorded"], 2, "{taken}");
    let failed: Vec<_> = taken["failed"].as_array().unwrap().iter().collect();
    let places: Vec<_> = failed.iter().map(|row| row["place"].as_u64()).collect();
    assert_eq!(places, [Some(2), Some(3), Some(4)], "{taken}");
    let ended = admin.post(
        &format!("/v1/imports/{id}/end"),
        &serde_json::json!({"failed": 4}),
    );
    let ended = ended.json();
    assert_eq!(
        (&ended["recorded"], &ended["failed"]),
        (&2.into(), &7.into())
    );
    assert_eq!(post("application/x-ndjson", &id, rows).status, 404);
}
