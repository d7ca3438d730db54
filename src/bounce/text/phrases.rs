//! A [`Phrase`] is a wording by which a mail program gives itself away, with what it says about addresses.
//!
//! Data: to read one more program, add its words here, and a sample to `tests/bounces`. The phrases
//! are in lower case as far as ASCII goes; a space stands for any white space, line ends included,
//! because programs break their lines where they like.

/// What words say about the addresses around them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Delivery failed for the addresses that follow, on the line or on the next ones.
    Names,
    /// The address that follows is a recipient. By itself it does not say that anything failed.
    Label,
    /// The message is a report of failure; the words lead to no address.
    Sign,
    /// Words of a refusal. From a mail server they make a report; anybody else may say them, too.
    Hint,
    /// The address that follows is the one that was written to, before an alias or a forward.
    Original,
    /// The address that follows is somebody else: the sender, a help desk.
    Other,
    /// Delivery to the addresses that follow is still being tried.
    Delayed,
    /// Delivery succeeded.
    Delivered,
}

/// Words of a mail program.
#[derive(Debug, Clone, Copy)]
pub(super) struct Phrase {
    pub(super) role: Role,
    pub(super) words: &'static str,
}

macro_rules! phrases {
    ($($role:ident { $($program:literal: [$($words:literal),+ $(,)?],)+ })+) => {
        &[$($($(Phrase { role: Role::$role, words: $words },)+)+)+]
    };
}

/// The phrases, each group named after programs that write so.
pub(super) const PHRASES: &[Phrase] = phrases! {
    Names {
        "Amazon SES, PowerMTA, Notes, MailMarshal": [
            "trying to deliver the mail to the following recipients", "list of the affected recipients",
            "affected recipients", "the following recipients were affected", "failure reasons",
            "recipients of the message were affected", "the following recipients are affected",
        ],
        "Sendmail, Activehunter, McAfee, Biglobe, X1": [
            "the following addresses had", "the following addresses have delivery notifications",
            "the following addresses failed", "unable to deliver mail to the following",
        ],
        "Exim, GMX, 1&1, MXLogic": [
            "the following address failed", "the following address(es) failed",
            "the following recipient failed", "the following recipients failed",
        ],
        "Gmail, Microsoft SMTPSVC, Lotus, X3": [
            "delivery to the following recipient failed", "delivery to the following recipients failed",
            "delivery to the following recipient(s) failed", "delivery to the following recipient was aborted",
            "delivery to the following recipients was aborted", "delivery to the following address failed",
            "delivery to the following addresses failed", "delivery to the following address(es) failed",
            "devlivery to the following recipients failed", "delivery has failed to these recipients",
            "message wasn't delivered to", "message was not delivered to", "message not delivered to",
            "there was a problem delivering your message to", "your email to group",
            "delivery of this message to",
        ],
        "Exchange, Office 365": [
            "did not reach the following recipient", "couldn't be delivered to", "wasn't found at",
            "message can't be delivered to", "rejected your message to the following",
        ],
        "Domino, Notes, GroupWise": [
            "was not delivered to", "were not delivered to", "not delivered to the following",
            "the message that you sent was undeliverable to the following",
        ],
        "Oracle Messaging Server": [
            "cannot be delivered to the following", "message has been enqueued and undeliverable for",
            "unable to deliver to these recipients",
        ],
        "KDDI, EZweb, Verizon, ApacheJames": [
            "the user(s) account", "your message was not delivered within",
            "could not be delivered to", "did not receive this message",
            "each of the following recipients was rejected", "the following recipients did not receive",
            "the following recipients returned permanent errors", "could not deliver the message to",
            "could not deliver message to", "could not be delivered to the recipients",
        ],
        "MailFoundry, InterScan, X2, Yahoo, EarthLink": [
            "unable to deliver message to", "unable to deliver your message to",
            "unable to deliver the message to", "unable to deliver this message to",
            "delivery to the following address has been failed",
            "your delivery to the following address has been failed",
            "quota violation for", "not able to deliver your message to",
            "wasn't able to deliver your message to", "unable to send your message to",
            "we were unable to deliver",
        ],
        "Mimecast, Barracuda, MailMarshal": [
            "attempted to send to the following address", "could not be delivered to one or more of its recipients",
            "your message was not delivered to the following", "could not be sent to the following",
            "message could not be delivered to the following recipients", "unable to be delivered to",
        ],
        "fml": ["you are not a member of this mailing list", "duplicated message-id in"],
        "DragonFly": ["there was an error delivering your mail to"],
        "OpenSMTPD": [
            "attempting to deliver a message for the following list of recipients",
            "attempting to deliver the envelope to",
        ],
        "IMail, SMTP32": [
            "undeliverable to", "unknown user:", "unknown host:", "delivery failed", "invalid final delivery userid",
            "user mailbox exceeds allowed size", "mailbox disabled:", "user disabled:",
        ],
        "LSMTP": ["error-for:"],
        "MDaemon": ["did not receive a copy of your message", "the following recipients did not"],
        "MailEnable": ["message could not be delivered to some recipients"],
        "Smail": ["failed addresses follow", "failed recipients follow"],
        "MIMEsweeper, Mailsweeper": ["a message could not be delivered to", "mail could not be delivered to"],
        "SMTPbeamer, CSM, Failed Recipients": [
            "failed recipients", "failed recipient", "list of failed recipients", "failed addresses",
        ],
        "qmail and its relatives, EYou": [
            "deliver your message to the following addresses", "deliver your message to these addresses",
            "deliver your message to the following recipients", "unable to deliver mail to",
            "i could not deliver your message to", "wasn't able to deliver your message",
        ],
        "HotPOP, Prodigy, USA.NET, AOL": [
            "undeliverable address", "mailbox is full:", "your mail to the following recipients could not be delivered",
            "local mailbox", "over quota for user", "user unknown:", "no such user:", "mailbox not found:",
        ],
        "SpamLion, Novell, others": [
             "the following recipient could not be reached",
            "the following recipients could not be reached", "the following recipient(s) could not be reached",
            "rejected recipient", "rejected the following recipient", "refused the following recipient",
            "the recipient address was rejected", "the following destination addresses were unknown",
            "the following destination address was unknown", "can not be delivered to the following",
            "cannot deliver mail to", "cannot deliver your message to", "cannot deliver message to",
            "failed to deliver to", "failed to deliver your message to", "failure delivering to",
            "error delivering to", "error in delivering to", "delivery failure to", "delivery error to",
            "permanent error delivering to", "impossible to deliver to", "failed for the following",
            "problems delivering to", "undelivered to", "undeliverable recipients",
            "undeliverable recipient", "unreachable recipients", "rejected recipients",
            "recipients were rejected", "the following recipients have", "the following users have",
            "is not deliverable to", "message to the following recipients", "message to the following recipient",
            "returned to you because of an error delivering to", "target mail address",
        ],
        "German": [
            "konnte nicht zugestellt werden an", "konnte an folgende", "nicht zugestellt werden konnte an",
            "an folgende empfänger", "die folgenden empfänger", "an den folgenden empfänger",
            "fehler bei der zustellung an", "folgende adressen", "nicht erreichbare empfänger",
            "konnte folgenden empfängern nicht", "die folgende adresse", "bei der zustellung an",
        ],
        "French": [
            "n'a pas pu être remis à", "n'a pas pu être délivré à", "n'a pas été distribué à", "n'a pas été remis",
            "aux destinataires suivants", "au destinataire suivant", "pour les destinataires suivants",
            "échec de la remise", "la remise a échoué", "n'a pu être délivré",
        ],
        "Spanish, Portuguese, Italian": [
            "no se pudo entregar", "no se ha podido entregar", "no ha podido ser entregado a",
            "no se ha entregado a", "los siguientes destinatarios", "el siguiente destinatario",
            "error de entrega a", "não foi entregue a", "não pôde ser entregue", "os seguintes destinatários",
            "falha na entrega", "falha de entrega", "recapito non riuscito", "non è stato recapitato a",
            "non è stato possibile consegnare", "ai seguenti destinatari", "i seguenti destinatari",
            "impossibile recapitare",
        ],
        "Dutch, Swedish, Danish, Polish, Russian": [
            "kon niet worden bezorgd", "kon niet worden afgeleverd", "de volgende ontvangers",
            "kunde inte levereras till", "kunne ikke leveres til", "nie powiodło się",
            "nie można dostarczyć", "не удалось доставить", "не может быть доставлено", "не доставлено",
            "не было доставлено", "следующим получателям", "следующим адресатам",
        ],
        "Japanese: m-FILTER, au, docomo, Gmail, Exchange": [
            "以下のメールアドレスへの送信に失敗", "送信に失敗しました", "への送信に失敗", "への配信に失敗",
            "配信できませんでした", "配信できません", "送信できませんでした", "配送できませんでした",
            "お届けできませんでした", "宛先不明", "届けることができません",
        ],
        "Chinese, Korean": [
            "无法投递", "投递失败", "未能传递到", "无法送达", "无法发送到", "退信原因", "無法傳遞", "無法投遞",
            "전송하지 못했습니다", "배달하지 못했습니다", "전송 실패",
        ],
    }
    Label {
        "RFC 5321 transcripts": ["rcpt to"],
        "EZweb, MailEnable, LISTSERV, Oracle": [
            "recipient:", "recipient address:", "recipients:", "recipient(s):", "intended recipient",
            "final recipient:", "failed address:", "e-mail address:", "email address:", "bad address:",
            "recipient [", "user:", "address:",
        ],
        "Dovecot, Sieve": ["your message to", "your mail to", "your email to", "message to"],
        "German, French, Spanish": ["empfänger:", "destinataire :", "destinataire:", "destinatario:", "ihre nachricht an"],
        "Japanese, Chinese": ["宛先:", "宛先：", "受信者:", "受信者：", "收件人:", "收件人：", "メールアドレス:", "メールアドレス："],
    }
    Sign {
        "Exim": [
            "a message that you sent could not be delivered", "a message that you have sent could not be delivered",
            "this message was created automatically by mail delivery software",
            "a message that you sent was rejected", "a message that you sent contained",
        ],
        "Postfix": [
            "could not be delivered to one or more", "this is the mail system at host",
            "this is the postfix program at host", "transcript of session follows",
        ],
        "qmail": [
            "this is the qmail-send program", "i'm afraid i wasn't able to deliver",
            "this is a permanent error; i've given up", "this is the deliver program at",
            "this is the machine generated message from mail service", "this is the email server at",
            "this is the mail program at", "unfortunately, i have been unable to deliver",
            "we're sorry. there's a problem", "check your send e-mail address",
            "this is the mail delivery agent at", "unfortunately, your mail was not delivered",
            "sorry it didn't work out", "sorry, i wasn't able to establish an smtp connection",
        ],
        "Dovecot, Sieve": ["was automatically rejected", "was automatically refused"],
        "Facebook, Zoho, Mail.Ru, Yandex": [
            "this is an automatically generated delivery status notification",
            "this is an automatically generated delivery", "this message was undeliverable",
            "this report relates to a message you sent", "invalid user address",
        ],
        "InterScan, Activehunter, MailMarshal": [
            "message from interscan", "the message was not delivered", "message was not delivered",
            "the following mail could not be delivered", "mail delivery failed", "message delivery failed",
            "message delivery has failed", "permanent fatal errors", "permanent failure",
        ],
        "MDaemon, Lyris, LISTSERV": [
            "your message was not delivered", "being returned to you", "trouble delivering your message",
            "session transcript", "rejected and discarded", "has been returned because it encountered",
            "your message has encountered delivery problems", "an error was detected while processing",
        ],
        "German, French, Spanish": [
            "nicht zugestellt werden", "konnte nicht zugestellt", "n'existe pas", "non délivré", "no existe",
        ],
        "Japanese": ["エラーメッセージ", "下記の理由", "送信エラー", "配信エラー", "存在しません"],
    }
    Hint {
        "many": [
            "was not delivered", "could not be delivered", "couldn't be delivered", "cannot be delivered",
            "can't be delivered", "can not be delivered", "not be delivered", "unable to deliver",
            "has been returned because", "has been rejected", "was rejected", "is undeliverable",
            "returned to sender", "delivery problems", "delivery failure", "delivery error", "returned undelivered",
            "returned mail", "user unknown", "no such user", "mailbox full", "mailbox unavailable",
            "does not exist", "over quota", "address rejected", "quota exceeded",
        ],
    }
    Original {
        "Sendmail, Exim": ["expanded from", "generated from", "expanded from:"],
        "Oracle Messaging Server, others": [
            "original address:", "originally addressed to", "addressed to", "original recipient:", "forwarded from",
            "forwarded for", "alias of", "redirected from",
        ],
    }
    Other {
        "RFC 5321 transcripts": ["mail from", "from:", "sender:", "return-path:", "message-id:", "message id:", "reply-to:"],
        "help desks": [
            "contact", "please send mail to", "assistance", "send mail to", "further information", "write to",
            "forward this", "report this", "administrator", "postmaster", "support", "sent by", "mailto:postmaster",
            "reply to", "help", "mail sent from", "question", "http:", "https:",
        ],
        "Exchange, Domino": ["to:", "cc:", "subject:", "your message from", "on behalf of"],
    }
    Delayed {
        "Sendmail, Postfix, Exim, qmail": [
            "not need to resend", "this is a warning message only", "will be retried", "will continue to be attempted",
            "will keep trying", "has not yet been delivered", "has not been delivered yet", "will be tried again",
            "still trying to deliver", "delivery attempts will continue", "will continue trying",
            "continue to try to deliver", "is delayed", "has been delayed", "temporarily undeliverable",
            "delivery of your message is delayed", "no action is required on your part",
            "wird weiterhin versucht", "verzögert", "sera retenté", "se seguirá intentando", "配信が遅延", "遅延しています",
            "the server will keep trying", "will attempt to deliver", "have not yet been delivered",
            "transient non-fatal errors", "has not been delivered to", "will retry for",
            "temporary problem delivering your message", "message delivery to the following recipients has been delayed",
            "delivery to the following recipient has been delayed", "delivery to the following recipients has been delayed",
            "delivery to these recipients or groups has been delayed", "is still in the queue",
            "delivery to these recipients or distribution lists has been delayed",
            "delivery to these recipients has been delayed", "attempts to deliver the message will continue",
            "has not been able to deliver your message yet", "is being delayed", "delayed for more than",
            "is delayed to the following", "is delayed for the following", "still being tried",
        ],
    }
    Delivered {
        "Postfix, Sendmail, Oracle Messaging Server": [
            "was successfully delivered", "successfully delivered to", "successful mail delivery report",
            "has been successfully delivered",
        ],
    }
};

/// Where the copy of the message begins that was sent: at a line that begins so, whatever dashes it has.
pub(super) const MARKS: &[&str] = &[
    // Headers that come without any mark.
    "return-path:",
    "received: from",
    "received: by",
    "received: (",
    "content-type: message/rfc822",
    "content-type: text/rfc822-headers",
    "x-envelope-from:",
    // Exim, Postfix, qmail, GMX
    "this is a copy of",
    "below this line is a copy",
    "below the next line is a copy",
    "below is a copy of",
    "the header of the original message",
    "enclosed is a copy of",
    "undelivered message follows",
    // Sendmail, Smail
    "unsent message follows",
    "original message follows",
    "message text follows",
    "returned message",
    "returned mail follows",
    "message header follows",
    "message headers follow",
    "original message attached",
    "original message header",
    "original headers follow",
    "header of original message",
    "the header and top",
    "a copy of the original message",
    "original mail as follows",
    "original mail info",
    "old message",
    "start of returned message",
    "your original message",
    "your message reads",
    "here is your returned mail",
    "included is a copy of the message header",
    "attachment is a copy of",
    "beginning of original message",
    "the following is a copy of",
    "failed message follows",
    "rejected message headers",
    "message contents",
    "transcript of message follows",
    "ursprüngliche nachricht",
    "message d'origine",
    "元のメール",
];

/// What a line of dashes must also say to be such a mark.
pub(super) const MARKS_BETWEEN_DASHES: &[&str] = &[
    "original message",
    "original mail",
    "message header",
    "returned m",
    "unsent message",
    "message follows",
    "copy of",
    "undelivered m",
    "headers",
    "header follows",
    "message text",
    "your message",
    "mail follows",
    "forwarded message",
    "returned message",
    "the message",
];
