# One image for the API and every worker: the static binary and nothing else, no shell, not root.
# docker-compose.yml builds it; by hand: docker build -t teller .
# The target gpu is the image of a worker that computes on a graphics card: docker build --target gpu -t teller-gpu .

FROM --platform=$BUILDPLATFORM golang:1.26.8-bookworm AS build
WORKDIR /src
ENV GOCACHE=/go/build-cache
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG TARGETOS TARGETARCH
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/go/build-cache \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -ldflags='-s -w' -o /out/teller ./cmd/teller

FROM build AS build-gpu
ARG TARGETOS TARGETARCH
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/go/build-cache \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -tags opencl -trimpath -ldflags='-s -w' -o /out/teller-gpu ./cmd/teller

# A driver is loaded by the C library, which a static image does not have. The OpenCL loader stands in the image; NVIDIA's driver is the
# host's, which its container toolkit puts beside it, and the .icd file names.
FROM debian:12.12-slim AS gpu
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates ocl-icd-libopencl1 tzdata \
    && rm -rf /var/lib/apt/lists/* \
    && mkdir -p /etc/OpenCL/vendors \
    && echo libnvidia-opencl.so.1 >/etc/OpenCL/vendors/nvidia.icd
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=build-gpu /out/teller-gpu /usr/local/bin/teller
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/teller"]

# Certificates and time zones come with it. Pinned by content: the tag moves.
FROM gcr.io/distroless/static-debian13:nonroot@sha256:1c2c046bc09ed40fad370b599a0b1ae7987f55b01e247cf27a7c27cd97e5bbc7
COPY --from=build /out/teller /usr/local/bin/teller
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/teller"]
