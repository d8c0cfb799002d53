# One container: the ticker is process 1, and nginx is its supervised child. PostgreSQL runs elsewhere.
#
#   docker build -t stellar-ticker .                      builds the program, too
#   docker build -t stellar-ticker --target prebuilt .    copies target/image/stellar-ticker, built for the same Debian
#
# ./ticker image does either, with docker, podman or buildah. docs/run.md says how to run the image.
ARG DEBIAN_IMAGE=debian:bookworm-slim
ARG RUST_IMAGE=rust:1.95-slim-bookworm

FROM ${DEBIAN_IMAGE} AS base
# Versions are not pinned: Debian stable only gets security updates, and its mirrors drop older versions.
# hadolint ignore=DL3008
RUN export DEBIAN_FRONTEND=noninteractive \
  && apt-get update \
  && apt-get install -y --no-install-recommends ca-certificates nginx-light \
  && rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb
# A fixed uid, so that volumes keep their owner across images. Group 0 may write too: OpenShift runs any uid in it.
RUN groupadd --gid 10001 ticker \
  && useradd --no-log-init --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/ticker \
    --shell /usr/sbin/nologin ticker \
  && install -d -o 10001 -g 0 -m 0775 /var/lib/ticker
COPY --chmod=0644 LICENSE /usr/share/doc/stellar-ticker/LICENSE
COPY --chmod=0644 nginx.conf /etc/ticker/nginx.conf
# The admin listener is not exposed: only the container's network reaches it. MIMALLOC_PURGE_DELAY=0 returns freed
# memory at once. Without it the allocator keeps some 150 MB at 30,000 markets.
ENV MIMALLOC_PURGE_DELAY=0 \
  TICKER_ADMIN_BIND=0.0.0.0:9090 \
  TICKER_DATA_DIR=/var/lib/ticker \
  TICKER_NGINX=/etc/ticker/nginx.conf
USER 10001:10001
WORKDIR /var/lib/ticker
# The published files, which nginx serves while the daemon does not answer. The volume may be lost.
VOLUME ["/var/lib/ticker"]
EXPOSE 8000
STOPSIGNAL SIGTERM
# At start the daemon waits up to 60 s (TICKER_STARTUP_TIMEOUT) for the database.
HEALTHCHECK --interval=10s --timeout=5s --start-period=90s --retries=3 CMD ["stellar-ticker", "healthcheck"]
ENTRYPOINT ["stellar-ticker"]
CMD ["serve"]
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="stellar-ticker" \
  org.opencontainers.image.description="Market data of Stellar's built-in exchange" \
  org.opencontainers.image.licenses="Apache-2.0" \
  org.opencontainers.image.version="${VERSION}" \
  org.opencontainers.image.revision="${REVISION}"

FROM base AS prebuilt
COPY --chmod=0755 target/image/stellar-ticker /usr/local/bin/stellar-ticker

FROM ${RUST_IMAGE} AS builder
WORKDIR /build
COPY . .
# The cache mounts make the next build quick. cargo compares file times, so the sources are made newer than the cache.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
  --mount=type=cache,target=/build/target \
  find . -path ./target -prune -o -type f -exec touch {} + \
  && cargo build --release --locked --bin stellar-ticker \
  && install -D target/release/stellar-ticker /out/stellar-ticker

FROM base AS runtime
COPY --from=builder /out/stellar-ticker /usr/local/bin/stellar-ticker
