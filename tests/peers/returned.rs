//! What real mail servers send back: the gateway relays through each of them, mailboxes refuse, and
//! every word of the reports that come to the returns listener is the mail server's own.

use super::circuit::{Circuit, MailServer, Neighbours, RETURNS_DOMAIN};
use super::exim::{Exim, OWN_DOMAIN};
use super::opensmtpd::OpenSmtpd;
use super::postfix::Postfix;

impl MailServer for Postfix {
    fn start(neighbours: &Neighbours) -> Self {
        let Neighbours { mailboxes, returns } = neighbours;
        Self::start(
            "postfix.example",
            &format!(
                "relayhost = [127.0.0.1]:{mailboxes}\n\
                 transport_maps = inline:{{ {{{RETURNS_DOMAIN} = smtp:[127.0.0.1]:{returns}}} }}\n\
                 delay_warning_time = 1s"
            ),
        )
    }

    fn port(&self) -> u16 {
        self.port()
    }

    fn try_again(&self) {
        self.flush();
    }

    fn give_up(&self) {
        self.expire();
    }
}

#[test]
fn b3_b9_b10_what_postfix_sends_back_is_understood() {
    understands_signed(&Circuit::<Postfix>::start());
}

#[test]
fn b3_b9_b10_what_exim_sends_back_is_understood() {
    understands_signed(&Circuit::<Exim>::start());
}

#[test]
fn b3_b9_b10_what_opensmtpd_sends_back_is_understood() {
    understands_signed(&Circuit::<OpenSmtpd>::start());
}

#[test]
fn b3_what_postfix_sends_back_to_a_return_path_of_ones_own_is_understood() {
    understands_unsigned(&Circuit::<Postfix>::unsigned());
}

#[test]
fn b3_what_exim_sends_back_to_a_return_path_of_ones_own_is_understood() {
    understands_unsigned(&Circuit::<Exim>::unsigned());
}

#[test]
fn b3_what_opensmtpd_sends_back_to_a_return_path_of_ones_own_is_understood() {
    understands_unsigned(&Circuit::<OpenSmtpd>::unsigned());
}

fn understands_signed(circuit: &Circuit<impl MailServer>) {
    understands(circuit);
    assert!(circuit.is_signed());
}

fn understands_unsigned(circuit: &Circuit<impl MailServer>) {
    understands(circuit);
    assert!(!circuit.is_signed());
}

/// Every kind of mailbox, each in a message of its own and all in one, teaches what is true and no
/// more.
fn understands(circuit: &Circuit<impl MailServer>) {
    // Accepted as a recipient; the message is refused when it was read.
    const FILTERED: &str = "filtered@example.net";
    let kinds = ["alive", "gone", "full", "refused", "slow"];
    let alone = kinds.map(|kind| format!("{kind}.alone@example.net"));
    let together = kinds.map(|kind| format!("{kind}.together@example.net"));
    for recipient in &alone {
        circuit.send(&[recipient]);
    }
    circuit.send(&together.each_ref().map(String::as_str));
    circuit.send(&[FILTERED]);
    // One for each that failed for good, and one about several of them.
    circuit.wait_for_reports("bounce", 5);
    circuit.wait_for_reports("delayed", 2);

    for [alive, gone, full, refused, slow] in [&alone, &together] {
        assert_eq!(circuit.learnt(gone), "hard 1 5.1.1, soft 0");
        circuit.next_message_hears(gone, "550 5.1.1 ");
        assert_eq!(circuit.learnt(full), "hard 0, soft 1 5.2.2");
        circuit.next_message_hears(full, "250 ");
        for untouched in [alive, refused, slow] {
            assert_eq!(circuit.learnt(untouched), "hard 0, soft 0", "{untouched}");
            circuit.next_message_hears(untouched, "250 ");
        }
        assert_eq!(circuit.delivered(alive), 1, "{alive}");
    }
    assert_eq!(circuit.learnt(FILTERED), "hard 0, soft 0");
    let about_three = |line: &String| line.contains(" recipients=3 ");
    assert!(circuit.reports("bounce").iter().any(about_three));
}

#[test]
fn b3_what_postfix_gave_up_is_a_soft_bounce() {
    gives_up(&Circuit::<Postfix>::start());
}

#[test]
fn b3_what_exim_gave_up_is_a_soft_bounce() {
    gives_up(&Circuit::<Exim>::start());
}

/// A host that puts off for too long: it is warned of, which counts for nothing, and in the end the
/// message comes back.
fn gives_up(circuit: &Circuit<impl MailServer>) {
    const STUCK: &str = "stuck@example.net";
    circuit.send(&[STUCK]);
    circuit.wait_for_reports("delayed", 1);
    circuit.server.give_up();
    circuit.wait_for_reports("bounce", 1);
    let learnt = circuit.learnt(STUCK);
    assert!(learnt.starts_with("hard 0, soft 1 "), "{learnt}");
    circuit.next_message_hears(STUCK, "250 ");
}

#[test]
fn x53_what_postfix_sends_back_about_an_international_address_is_understood() {
    understands_international(&Circuit::<Postfix>::start());
}

#[test]
fn x53_what_exim_sends_back_about_an_international_address_is_understood() {
    understands_international(&Circuit::<Exim>::start());
}

/// A report about an address that is not ASCII (RFC 6533).
fn understands_international(circuit: &Circuit<impl MailServer>) {
    const GONE: &str = "gone.fräulein@example.net";
    circuit.send_international(&[GONE]);
    circuit.wait_for_reports("bounce", 1);
    assert_eq!(circuit.learnt(GONE), "hard 1 5.1.1, soft 0");
}

/// Exim gives its own findings no code and no diagnostic: words are all there is.
#[test]
fn b3_what_exim_says_of_its_own_mailboxes_is_understood() {
    let circuit = Circuit::<Exim>::start();
    let [gone, full, disabled] =
        ["gone", "full", "disabled"].map(|name| format!("{name}@{OWN_DOMAIN}"));
    for recipient in [&gone, &full, &disabled] {
        circuit.send(&[recipient]);
    }
    circuit.wait_for_reports("bounce", 3);
    assert!(circuit.learnt(&gone).starts_with("hard 1"));
    assert!(circuit.learnt(&disabled).starts_with("hard 1"));
    assert!(circuit.learnt(&full).starts_with("hard 0, soft 1"));
}
