//! The names, fields and subjects by which mail systems are known, and those by which they are mistaken.
//!
//! Data: to know one more program by its header, add it here, and a sample to `tests/bounces`.

/// Local parts that belong to mail systems.
pub(super) const LOCAL_PARTS: &[&str] = &[
    "mailer-daemon",
    "postmaster",
    "mail-daemon",
    "mailer_daemon",
    "maildaemon",
    "mailerdaemon",
    "post_master",
    "post-master",
    "post_office",
    "postoffice",
    "mdaemon",
    "mail.delivery.system",
    "mail-delivery-system",
    "system administrator",
    "mail delivery subsystem",
    "mail delivery system",
    "mailer",
    "mmdf",
    "bounce-notification",
    "smtp_mail_service",
    "poostmaster",
    "microsoftexchange",
    "amq",
    "uucp",
];

/// How local parts begin at which no person reads.
pub(super) const ROBOTS: &[&str] = &[
    "no-reply",
    "noreply",
    "no_reply",
    "donotreply",
    "do-not-reply",
    "do_not_reply",
    "notification",
    "bounce",
    "mailer",
    "mail-",
    "daemon",
    "system",
    "smtp",
    "delivery",
];

/// Names under which mail systems write, whatever their address is.
pub(super) const NAMES: &[&str] = &[
    "mail delivery",
    "mailer-daemon",
    "mailer daemon",
    "postmaster",
    "mail administrator",
    "system administrator",
    "mail deliver system",
    "mail system",
    "interscan",
    "delivery subsystem",
    "returned mail",
    "mail router",
    "internet mail delivery",
];

/// Domains of carriers: au (KDDI), docomo, SoftBank.
pub(super) const CARRIERS: &[&str] = &[
    "dion.ne.jp",
    "ezweb.ne.jp",
    "au.com",
    "auone-net.jp",
    "docomo.ne.jp",
    "softbank.ne.jp",
];

/// Fields that only certain mail systems write, with the beginning of their value.
pub(super) const FIELDS: &[(&str, &str)] = &[
    // Ipswitch IMail
    ("x-mailer", "<smtp32"),
    // fml, a list manager
    ("x-mlserver", "fml"),
    // Exchange and Microsoft SMTPSVC
    ("x-dsncontext", ""),
    ("x-ms-embedded-report", ""),
    ("content-class", "urn:content-classes:dsn"),
    ("content-class", "urn:content-classes:reporttemplate"),
    // LSMTP
    ("x-report-type", "nondelivery"),
    // Mimecast, Exim, SpamLion
    ("x-mc-system", ""),
    ("x-failed-recipients", ""),
    ("x-mailer", "spamlion"),
    ("x-mailer", "m-filter"),
];

/// Words of subjects, in lower case as far as ASCII goes.
pub(super) const SUBJECTS: &[&str] = &[
    "undeliver",
    "returned mail",
    "returned to sender",
    "return to sender",
    "delivery fail",
    "delivery has failed",
    "delivery status",
    "delivery problem",
    "delivery error",
    "delivery report",
    "delivery notification",
    "failure notice",
    "failed delivery",
    "failure delivery",
    "failed mail",
    "mail failure",
    "mail failed",
    "mail delivery",
    "message delivery",
    "non-deliver",
    "nondeliver",
    "not deliver",
    "could not be delivered",
    "couldn't be delivered",
    "unable to deliver",
    "rejected mail",
    "mail system error",
    "error sending your mail",
    "processing error",
    "warning: could not send",
    "delivery delay",
    "delayed mail",
    "mail delayed",
    "message delayed",
    "mail bounce",
    "bounced mail",
    "bounced message",
    "user unknown",
    "mailbox full",
    "are not member",
    "not member article",
    "address not found",
    // German, French, Spanish, Portuguese, Italian, Dutch, Polish, Russian
    "unzustellbar",
    "nicht zugestellt",
    "non remis",
    "non distribu",
    "non délivr",
    "échec",
    "mailzustellung",
    "mail-zustellung",
    "fallo en la entrega del mensaje",
    "no se pudo entregar",
    "no entregado",
    "falha",
    "não entregue",
    "mancato recapito",
    "non recapitato",
    "onbestelbaar",
    "niet bezorgd",
    "niedostarcz",
    "не доставлен",
    "недоставлен",
    // Japanese, Chinese, Korean
    "エラー",
    "配信",
    "メール配送",
    "送信できません",
    "退信",
    "投递",
    "無法傳遞",
    "전송",
];

/// Words for mail in subjects: parcels are undeliverable, too.
pub(super) const MAIL_WORDS: &[&str] = &[
    "mail",
    "message",
    "undeliverable:",
    "delivery status notification",
    "failure notice",
    "nachricht",
    "unzustellbar:",
    "courriel",
    "mensaje",
    "correo",
    "mensagem",
    "messaggio",
    "bericht",
    "wiadomo",
    "письм",
    "сообщени",
    "メール",
    "配信",
    "邮件",
    "郵件",
    "退信",
    "메일",
];

/// With what the subjects of reports begin that nobody else writes.
pub(super) const TITLES: &[&str] = &[
    "undelivered mail",
    "undeliverable mail",
    "undeliverable message",
    "returned mail",
    "mail delivery fail",
    "message delivery fail",
    "mail system error",
    "rejected mail",
    "メールエラー",
    "メール配信エラー",
    "メール送信エラー",
    "退信",
    "系统退信",
];

/// What mail systems send besides reports, by the words of its subject.
pub(super) const OTHER_SUBJECTS: &[&str] = &[
    "quarantine",
    "quarantäne",
    "quarantaine",
    "cuarentena",
    "digest",
    "meeting forward",
];

/// Fields of mail that went through a list or to many; a list that hands on a report leaves them in it.
pub(super) const LIST_FIELDS: &[&str] = &["list-id", "list-unsubscribe", "list-post"];
