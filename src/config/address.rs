//! A listen address is an IP address with a port: `127.0.0.1:2525`, `[::]:25`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::de::{Deserializer, Error, Visitor};
use serde::ser::Serializer;

pub(super) fn serialize<S: Serializer>(
    address: &SocketAddr,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(address)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<SocketAddr, D::Error> {
    deserializer.deserialize_str(AddressVisitor)
}

/// The same for a listener that may be left out.
pub(super) mod optional {
    use super::{AddressVisitor, Deserializer, Error, Serializer, SocketAddr, Visitor, fmt};

    #[expect(clippy::ref_option, reason = "serde hands a reference")]
    pub(in super::super) fn serialize<S: Serializer>(
        address: &Option<SocketAddr>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match address {
            Some(address) => super::serialize(address, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<SocketAddr>, D::Error> {
        deserializer.deserialize_option(OptionalVisitor)
    }

    struct OptionalVisitor;

    impl<'de> Visitor<'de> for OptionalVisitor {
        type Value = Option<SocketAddr>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            AddressVisitor.expecting(f)
        }

        fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Self::Value, D::Error> {
            inner.deserialize_str(AddressVisitor).map(Some)
        }
    }
}

struct AddressVisitor;

impl Visitor<'_> for AddressVisitor {
    type Value = SocketAddr;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address with a port, such as \"127.0.0.1:2525\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<SocketAddr, E> {
        parse(text.trim()).map_err(E::custom)
    }
}

fn parse(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        let example = SocketAddr::new(address, 2525);
        return Err(format!(
            "\"{text}\" has no port; write for example \"{example}\""
        ));
    }
    // What people write for "all addresses", or for a name that we do not resolve: which of its
    // addresses would be meant?
    let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
    if let Ok(port) = port.parse::<u16>() {
        return Err(match host {
            "" | "*" => format!(
                "\"{text}\" does not say on which address; write \"0.0.0.0:{port}\", \"[::]:{port}\" or \"127.0.0.1:{port}\""
            ),
            "localhost" => format!(
                "a name cannot be listened on; write \"127.0.0.1:{port}\" or \"[::1]:{port}\""
            ),
            _ => format!("\"{host}\" is not an IP address; a name cannot be listened on"),
        });
    }
    Err(format!(
        "\"{text}\" is not an address; write an IP address and a port, such as \"127.0.0.1:2525\""
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_to_write() {
        assert_eq!(parse("[::1]:25").unwrap().port(), 25);
        for (text, advice) in [
            ("127.0.0.1", "\"127.0.0.1:2525\""),
            ("::1", "\"[::1]:2525\""),
            ("2525", "\"0.0.0.0:2525\""),
            (":25", "\"[::]:25\""),
            ("*:25", "\"127.0.0.1:25\""),
            ("localhost:25", "\"[::1]:25\""),
            ("mail.example.com:25", "is not an IP address"),
            ("127.0.0.1:99999", "is not an address"),
            ("", "is not an address"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(advice), "{text}: {error}");
        }
    }
}
