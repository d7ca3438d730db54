//! A network is written as `10.0.0.0/8`, or as one address: `::1`.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::Serializer;

pub(super) fn serialize<S: Serializer>(
    networks: &[IpNet],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(networks.iter().map(IpNet::to_string))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<IpNet>, D::Error> {
    let networks = Vec::<Network>::deserialize(deserializer)?;
    Ok(networks
        .into_iter()
        .map(|Network(network)| network)
        .collect())
}

/// One network of a list, so that an error can tell which.
struct Network(IpNet);

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NetworkVisitor)
    }
}

struct NetworkVisitor;

impl Visitor<'_> for NetworkVisitor {
    type Value = Network;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a network such as \"10.0.0.0/8\" or \"::1\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Network, E> {
        parse(text.trim()).map(Network).map_err(E::custom)
    }
}

fn parse(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address));
    }
    let network: IpNet = text.parse().map_err(|_| {
        format!("\"{text}\" is not a network; write for example \"10.0.0.0/8\" or \"::1\"")
    })?;
    // "10.0.0.1/8" may mean one host or sixteen million: ask.
    if network.addr() != network.network() {
        return Err(format!(
            "\"{text}\" has digits behind its prefix; write \"{}\" for the network or \"{}\" for the one address",
            network.trunc(),
            network.addr()
        ));
    }
    Ok(network)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_networks_and_addresses() {
        for (text, network) in [
            ("127.0.0.0/8", "127.0.0.0/8"),
            ("::1", "::1/128"),
            ("192.0.2.1", "192.0.2.1/32"),
            ("2001:db8::/32", "2001:db8::/32"),
        ] {
            assert_eq!(parse(text).unwrap().to_string(), network);
        }
        for text in ["", "localhost", "10.0.0.0/33", "10.0.0", "10.0.0.1/8"] {
            assert!(parse(text).unwrap_err().starts_with(&format!("\"{text}\"")));
        }
    }
}
