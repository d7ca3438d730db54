# The gateway in an image: built on Debian with Rust, run on Debian without.
#
#   docker build -t sendgate .
#   docker run --rm sendgate --help
#
# Everything it keeps is in the volume /data, also the pepper: without it every record is unreadable.

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# BuildKit keeps what cargo fetched and compiled, so that the next build compiles what has changed.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin sendgate \
    && install -D -t /out target/release/sendgate

FROM debian:bookworm-slim
# The authorities that smtps:// and rediss:// believe.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10025 --user-group --home-dir /data --shell /usr/sbin/nologin sendgate \
    && install -d -o sendgate -g sendgate -m 700 /data
COPY --from=build /out/sendgate /usr/local/bin/

USER sendgate
# The defaults are paths below data/, which from here is the volume. A configuration of your own goes
# to /etc/sendgate/sendgate.toml, or into variables such as SENDGATE_UPSTREAM_URL.
WORKDIR /
VOLUME /data

# Listeners are on loopback until SENDGATE_SMTP_0_LISTEN and SENDGATE_RETURNS_0_LISTEN say otherwise.
EXPOSE 2525 2526

# Whether the process answers (/livez), not whether the store does: starting again would not help that.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8026 && printf 'GET /livez HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3 && head -n 1 <&3 | grep -q ' 200 '"]

ENTRYPOINT ["sendgate"]
CMD ["serve"]
