//! The PROXY header: a load balancer tells who really connected (HAProxy's PROXY protocol, v1 and v2).
//!
//! It is read only from listed networks, where it is required; elsewhere it is never looked for,
//! because whoever may send it can claim any address (W15).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tokio::io::{AsyncRead, AsyncReadExt};

/// Longest header of version 1, line end included.
const V1_LIMIT: usize = 107;
/// Most octets of addresses and additions in version 2 that are read.
const V2_LIMIT: usize = 2048;
/// What version 2 begins with.
const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Reads the header, and not one octet more: what follows may be a TLS handshake.
///
/// Answers the client's address; none if the balancer speaks for itself, as in a health check.
///
/// # Errors
/// When there is no header or it makes no sense; the connection must then be closed.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<IpAddr>> {
    let first = stream.read_u8().await?;
    match first {
        b'P' => read_v1(stream).await,
        b'\r' => read_v2(stream).await,
        _ => Err(malformed()),
    }
}

async fn read_v1(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<IpAddr>> {
    let mut line = vec![b'P'];
    while !line.ends_with(b"\r\n") {
        if line.len() == V1_LIMIT {
            return Err(malformed());
        }
        line.push(stream.read_u8().await?);
    }
    line_v1(&line[..line.len() - 2]).ok_or_else(malformed)
}

/// `PROXY TCP4 192.0.2.1 198.51.100.1 56324 25`, or `PROXY UNKNOWN …`.
#[expect(
    clippy::option_option,
    reason = "no header, a header without an address, an address"
)]
fn line_v1(line: &[u8]) -> Option<Option<IpAddr>> {
    let text = std::str::from_utf8(line).ok()?;
    let words: Vec<&str> = text.split(' ').collect();
    match words.as_slice() {
        ["PROXY", "UNKNOWN", ..] => Some(None),
        ["PROXY", family, source, destination, from, to] => {
            let address: IpAddr = match *family {
                "TCP4" => source.parse::<Ipv4Addr>().ok()?.into(),
                "TCP6" => source.parse::<Ipv6Addr>().ok()?.into(),
                _ => return None,
            };
            destination.parse::<IpAddr>().ok()?;
            from.parse::<u16>().ok()?;
            to.parse::<u16>().ok()?;
            Some(Some(address))
        }
        _ => None,
    }
}

async fn read_v2(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<IpAddr>> {
    let mut head = [0; 16];
    head[0] = b'\r';
    stream.read_exact(&mut head[1..]).await?;
    let length = usize::from(u16::from_be_bytes([head[14], head[15]]));
    if &head[..12] != V2_SIGNATURE || length > V2_LIMIT {
        return Err(malformed());
    }
    let mut addresses = vec![0; length];
    stream.read_exact(&mut addresses).await?;
    addresses_v2(head[12], head[13], &addresses).ok_or_else(malformed)
}

#[expect(
    clippy::option_option,
    reason = "no header, a header without an address, an address"
)]
fn addresses_v2(version_command: u8, family: u8, addresses: &[u8]) -> Option<Option<IpAddr>> {
    match (version_command, family) {
        // LOCAL: the balancer's own connection.
        (0x20, _) => Some(None),
        (0x21, 0x11) if addresses.len() >= 12 => {
            let octets: [u8; 4] = addresses[..4].try_into().ok()?;
            Some(Some(IpAddr::from(octets)))
        }
        (0x21, 0x21) if addresses.len() >= 36 => {
            let octets: [u8; 16] = addresses[..16].try_into().ok()?;
            Some(Some(IpAddr::from(octets)))
        }
        (0x21, 0x00) => Some(None),
        _ => None,
    }
}

fn malformed() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "no PROXY header, or a malformed one",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn parse(bytes: &[u8]) -> (io::Result<Option<IpAddr>>, usize) {
        let mut rest = bytes;
        let outcome = read(&mut rest).await;
        (outcome, rest.len())
    }

    async fn check(bytes: &[u8], address: Option<&str>, left: usize) {
        let (outcome, rest) = parse(bytes).await;
        assert_eq!(outcome.unwrap(), address.map(|a| a.parse().unwrap()));
        assert_eq!(rest, left, "not one octet more");
    }

    fn v2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let length = u16::try_from(addresses.len()).unwrap().to_be_bytes();
        [
            V2_SIGNATURE.as_slice(),
            &[command, family],
            &length,
            addresses,
        ]
        .concat()
    }

    #[tokio::test]
    async fn w15_both_versions_are_read() {
        check(
            b"PROXY TCP4 192.0.2.1 127.0.0.1 1 25\r\nEHLO",
            Some("192.0.2.1"),
            4,
        )
        .await;
        check(
            b"PROXY TCP6 2001:db8::1 ::1 1 25\r\n",
            Some("2001:db8::1"),
            0,
        )
        .await;
        check(b"PROXY UNKNOWN\r\n", None, 0).await;
        let v4 = [192, 0, 2, 1, 127, 0, 0, 1, 0, 1, 0, 25];
        check(
            &[v2(0x21, 0x11, &v4), b"EHLO".to_vec()].concat(),
            Some("192.0.2.1"),
            4,
        )
        .await;
        check(&v2(0x20, 0, &[]), None, 0).await;
        let mut v6 = [0; 36];
        v6[15] = 1;
        check(&v2(0x21, 0x21, &v6), Some("::1"), 0).await;
    }

    #[tokio::test]
    async fn x34_everything_else_is_refused() {
        for bytes in [
            b"EHLO client.example\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1\r\n".to_vec(),
            b"PROXY TCP4 x y 1 25\r\n".to_vec(),
            [b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat(),
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff".to_vec(),
            v2(0x21, 0x11, &[0; 4]),
            v2(0x31, 0x11, &[0; 12]),
            Vec::new(),
        ] {
            assert!(parse(&bytes).await.0.is_err(), "{bytes:?}");
        }
    }
}
