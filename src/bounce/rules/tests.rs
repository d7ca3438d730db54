use super::*;

fn decided(rules: &Rules, text: &str) -> Option<String> {
    let refusal = Refusal {
        text,
        ..Refusal::default()
    };
    rules.decide(&refusal).map(|found| found.rule.id.clone())
}

fn problems(operator: &str) -> String {
    Rules::with(operator).unwrap_err().to_string()
}

#[test]
fn the_built_in_rules_are_fine() {
    match compile::compile(None) {
        Ok(rules) => assert!(rules.rules.len() > 20),
        Err(error) => panic!("{error}"),
    }
}

/// A rule of the operator's, with these lines more.
fn rule(id: &str, more: &str) -> String {
    format!("[[rule]]\nid = \"{id}\"\nsource = \"our own\"\n{more}\n")
}

#[test]
fn a_phrase_begins_with_a_word_and_its_pieces_stand_near() {
    let rules = Rules::built_in();
    assert_eq!(decided(&rules, "delivery was successfull"), None);
    let near = "mailbox of somebody is full";
    assert_eq!(decided(&rules, near).as_deref(), Some("mailbox-full"));
    let far = format!("mailbox {} is full", "x ".repeat(200));
    assert_eq!(decided(&rules, &far), None);
}

#[test]
fn an_operators_rule_is_tried_first_and_one_of_the_same_name_replaces() {
    let full = "552 mailbox full";
    let own = "cause = \"suppressed\"\nany = [\"mailbox\"]\nexamples = [\"the mailbox\"]";
    let rules = Rules::with(&rule("mine", own)).unwrap();
    assert_eq!(decided(&rules, full).as_deref(), Some("mine"));
    let replaced = Rules::with(&rule(
        "mailbox-full",
        "cause = \"mailbox_full\"\nany = [\"chock-a-block\"]\nexamples = [\"it is chock-a-block\"]",
    ))
    .unwrap();
    assert_eq!(
        decided(&replaced, "chock-a-block").as_deref(),
        Some("mailbox-full")
    );
    assert_eq!(decided(&replaced, full), None);
    assert_eq!(replaced.source("mailbox-full"), Some("our own"));
}

#[test]
fn a_built_in_rule_can_be_switched_off() {
    let off = Rules::with("[[rule]]\nid = \"mailbox-full\"\ndisabled = true\n").unwrap();
    assert_eq!(decided(&off, "552 mailbox full"), None);
    let none = problems("[[rule]]\nid = \"mailbox-ful\"\ndisabled = true\n");
    assert!(
        none.starts_with("2:6: rule[0].id: there is no built-in rule"),
        "{none}"
    );
}

#[test]
fn a_rule_of_a_provider_holds_for_its_hosts_alone() {
    let source = format!(
        "[[provider]]\nid = \"bird\"\nhosts = [\"bird.example\"]\n{}{}",
        rule(
            "bird-code",
            "cause = \"spam\"\nprovider = [\"bird\"]\nstatus = [\"*.7.77\"]\nexamples = [\"550 5.7.77 no\"]",
        ),
        rule(
            "bird-words",
            "cause = \"virus\"\nprovider = [\"bird\"]\nany = [\"no * please\"]\nreply = [554]\nexamples = [\"no, please\"]",
        ),
    );
    let rules = Rules::with(&source).unwrap();
    let check = |host: &str, reply_code, status: &str, text, expected| {
        let refusal = Refusal {
            status: status.parse().ok(),
            reply_code: Some(reply_code),
            text,
            hosts: &[host],
        };
        let found = rules.decide(&refusal).map(|found| found.rule.id.as_str());
        assert_eq!(found, expected, "{host} {reply_code} {status} {text}");
    };
    check("mx.bird.example", 550, "4.7.77", "", Some("bird-code"));
    check("MX.Bird.Example.", 550, "5.7.77", "", Some("bird-code"));
    check("mx.blackbird.example", 550, "5.7.77", "", None);
    check("mx.bird.example", 550, "5.7.78", "", None);
    check(
        "bird.example",
        554,
        "",
        "no, not now, please",
        Some("bird-words"),
    );
    check("bird.example", 550, "", "no, not now, please", None);
    // The text itself names the host.
    let said = "host mx.bird.example[192.0.2.1] said: no, not now, please";
    check("mx.example.net", 554, "", said, Some("bird-words"));
}

#[test]
fn everything_wrong_is_told_with_its_place() {
    let found = problems(
        "[[rule]]\nid = \"a\"\nprovider = [\"nobody\"]\nany = [\"Upper\", \"a  b\"]\n\
         [[rule]]\nid = \"a\"\ncause = \"spam\"\nsource = \"x\"\nexamples = [\"y\"]\n",
    );
    for expected in [
        "2:6: rule[0].cause: is missing",
        "2:6: rule[0].source: is missing",
        "2:6: rule[0].examples: is missing",
        "3:13: rule[0].provider[0]: there is no provider `nobody`",
        "4:8: rule[0].any[0]: `Upper` can match nothing",
        "4:17: rule[0].any[1]: `a  b` can match nothing",
        "6:6: rule[1].id: there is another rule `a`",
        "6:6: rule[1].any: is missing",
    ] {
        assert!(
            found.lines().any(|line| line.starts_with(expected)),
            "{expected}\n{found}"
        );
    }
    assert_eq!(found.lines().count(), 8, "{found}");
    assert!(problems("[[rule]]\nid = 1\n").starts_with("2:6: "));
    assert!(problems("[[rule]]\nid = \"a\"\ncoz = \"spam\"\n").starts_with("3:1: "));
    assert!(problems("[[provider]]\nid = \"a\"\nhosts = [\"two words\"]\n").contains("hosts[0]"));
}

#[test]
fn an_example_that_another_rule_decides_on_is_an_error() {
    let own = "cause = \"spam\"\nany = [\"zebra\"]\nexamples = [\"550 User unknown\"]";
    let found = problems(&rule("mine", own));
    assert!(
        found.contains("rule[0].examples[0]: `mine` does not decide on its example `550 User unknown`: the rule `user-unknown` decides before it"),
        "{found}"
    );
}
