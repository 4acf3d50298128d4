# Meetzone: a meeting zone in one box. `make help` lists what there is.

SHELL := /bin/bash
.ONESHELL:
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Debian packages: what building and running needs, and what the tests need on top.
BUILD_PACKAGES := golang-go git ca-certificates
# Equipment from outside that the tests let publish and watch.
GEAR_PACKAGES  := python3-aiortc python3-numpy python3-gst-1.0 gir1.2-gst-plugins-base-1.0 gir1.2-gst-plugins-bad-1.0 gstreamer1.0-plugins-base \
	gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-nice
# What makes the image, beside the tools of Debian 13 that image/tools fetches; and what boots it.
IMAGE_PACKAGES := $(BUILD_PACKAGES) mmdebstrap debian-archive-keyring python3 coreutils
VM_PACKAGES    := qemu-system-x86 qemu-utils ovmf mtools dnsmasq-base curl iproute2
TEST_PACKAGES  := $(BUILD_PACKAGES) chromium firefox-esr ffmpeg nftables iproute2 tcpdump procps curl e2fsprogs mount util-linux diffutils systemd nodejs npm fonts-dejavu-core squid fdisk cryptsetup-bin dnsmasq-base dropbear-bin iputils-ping rsyslog rsyslog-gnutls $(GEAR_PACKAGES) $(IMAGE_PACKAGES) $(VM_PACKAGES)

HTTPS ?= :8443
MEDIA ?= :8801
STATE ?= state
WEB_TESTS := zonectl/web/testdata
TIMES := bin/test-times.txt

export GOTOOLCHAIN ?= auto
export CGO_ENABLED := 0

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS=$$'\t' read -r name text; do printf '  make %-16s %s\n' "$$name" "$$text"; done

need-build:
	@.ci/need $(BUILD_PACKAGES)

need-test:
	@.ci/need $(TEST_PACKAGES)
	image/qemu/fetch-kernel
	if ! cmp -s $(WEB_TESTS)/package-lock.json $(WEB_TESTS)/node_modules/.installed; then
		(cd $(WEB_TESTS) && npm ci --no-audit --no-fund --loglevel=error)
		cp $(WEB_TESTS)/package-lock.json $(WEB_TESTS)/node_modules/.installed
	fi

build: need-build ## builds bin/appliance and bin/zoneclient
	@mkdir -p bin
	go build -trimpath -o bin/ ./...

run: build ## starts a working zone in the foreground and prints the link to its first meeting (HTTPS=ADDR MEDIA=ADDR STATE=DIR)
	@mkdir -p $(STATE)
	exec bin/appliance run --state $(STATE) --https $(HTTPS) --media $(MEDIA) --metrics 127.0.0.1:9801 --admin $(STATE)/admin.sock --first-meeting

test: ## everything that proves the product in at most 25 minutes, and how the time was spent
	@mkdir -p bin; : >$(TIMES)
	trap 'echo; echo "time spent:"; cat $(TIMES)' EXIT
	.ci/timed $(TIMES) "set-up" $(MAKE) --no-print-directory need-test
	{ .ci/host-state; ip netns list; } >bin/host-before.txt
	.ci/timed $(TIMES) "build" $(MAKE) --no-print-directory build
	.ci/timed $(TIMES) "format and vet" $(MAKE) --no-print-directory lint-fast
	.ci/timed $(TIMES) "unit" .ci/again go test -timeout 10m -skip '^TestNetns|^TestBrowser|^TestVM' ./...
	.ci/timed $(TIMES) "namespaces" .ci/again go test -p 1 -timeout 15m -run '^TestNetns' ./...
	.ci/timed $(TIMES) "browsers" .ci/again go test -p 1 -timeout 15m -run '^TestBrowser' ./...
	.ci/timed $(TIMES) "virtual machines" go test -p 1 -timeout 10m -run '^TestVM' ./...
	{ .ci/host-state; ip netns list; } >bin/host-after.txt
	diff -u bin/host-before.txt bin/host-after.txt || { echo "the tests changed this machine: see the lines above"; exit 1; }

test-long: need-test build ## what takes longer: load, floods, 200 kills, the race detector; note the result in docs/test-record.md
	CGO_ENABLED=1 go test -race -timeout 20m -skip '^TestNetns|^TestBrowser|^TestVM' ./...
	$(MAKE) --no-print-directory update-images image
	MEETZONE_LONG=1 MEETZONE_IMAGE=1 go test -p 1 -count 1 -timeout 100m -run '^TestNetns|^TestLong|^TestVM' -v ./...

impaired: need-test build ## plays the table of bad links to Chromium, zoneclient and another router, and writes docs/figures (root; 35 minutes on a quiet machine)
	MEETZONE_LONG=1 MEETZONE_FIGURES=$(CURDIR)/docs/figures go test -count 1 -timeout 60m -run '^TestNetnsImpaired$$' -v ./appliance

image: build ## the disk image of the appliance, in bin/image (root; four minutes, and one more the first time)
	@.ci/need $(IMAGE_PACKAGES)
	image/tools
	image/build

update-images: build ## two versions for the tests of updates in QEMU, in bin/update (root; six minutes); before MEETZONE_LONG=1 go test -run TestVMUpdate ./image
	@.ci/need $(IMAGE_PACKAGES)
	image/tools
	image/update-images

test-image: image ## builds the image and boots it: first screen, what runs, a meeting with marks on the wire, a power cut (root; 8 minutes)
	@.ci/need $(TEST_PACKAGES)
	MEETZONE_IMAGE=1 go test -count 1 -timeout 30m -run '^TestVM' -v ./image

run-vm: ## boots the image in QEMU, with its serial console in this terminal (HTTPS=PORT MEDIA=PORT lead to the box)
	@.ci/need $(VM_PACKAGES)
	HTTPS=$(HTTPS) MEDIA=$(MEDIA) exec image/run-vm

BENCH := bin/bench.txt

bench: need-build ## performance as ratios to a reference measured in the same run (root for what needs namespaces; 3 minutes)
	@mkdir -p bin; : >$(BENCH)
	# One package after the other: side by side they would measure each other.
	for package in ./dataplane ./mmr ./appliance ./dscp/enforce; do
		echo "measuring $$package"
		go test -run '^$$' -bench . -skip '^BenchmarkDataplane$$|^BenchmarkRouter$$' -benchtime 2s -timeout 10m $$package >>$(BENCH) 2>&1 || { tail -30 $(BENCH); exit 1; }
	done
	.ci/bench-table $(BENCH)

bench-dataplane: need-build ## the router's whole way beside bare system calls and sealing, into bin/bench-dataplane.json (root; 20 seconds)
	@mkdir -p bin
	MEETZONE_BENCH_JSON=$(CURDIR)/bin/bench-dataplane.json go test -count 1 -run '^$$' -bench '^BenchmarkDataplane$$' -benchtime 1x ./mmr

bench-router: need-build ## the whole daemon on one core with real clients on another, into bin/bench-router.json (root; two minutes)
	@mkdir -p bin
	MEETZONE_BENCH_JSON=$(CURDIR)/bin/bench-router.json go test -count 1 -run '^$$' -bench '^BenchmarkRouter$$' -benchtime 1x -timeout 10m ./appliance

fuzz: need-build ## runs every fuzz target for FUZZTIME (default 20s)
	@for file in $$(git ls-files '*_test.go' | xargs grep -l '^func Fuzz'); do
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9]*\)(.*/\1/p' $$file); do
			echo "$$(dirname $$file) $$target"
			go test -run '^$$' -fuzz "^$$target$$" -fuzztime $${FUZZTIME:-20s} ./$$(dirname $$file)
		done
	done

lint-fast:
	@unformatted=$$(gofmt -l $$(git ls-files '*.go'))
	[ -z "$$unformatted" ] || { echo "gofmt would change: $$unformatted"; exit 1; }
	go vet ./...

lint: need-build lint-fast ## gofmt, go vet, staticcheck
	go tool staticcheck ./...

clean: ## removes what was built, never the state
	rm -rf bin

.PHONY: help update-images need-build need-test build run image test-image run-vm test test-long impaired bench bench-dataplane fuzz lint lint-fast clean
