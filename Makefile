# Every target runs on a fresh clone: it installs what it needs first (scripts/setup.sh says what that is).
SHELL := /bin/bash
PORT ?= 8080
SERVE ?= 1
ENV := . scripts/env.sh &&
STEPS := vulkan browser mesa rust wasm32 wasm-bindgen wasm-pack lint npm

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo build web docs test test-native test-web test-js test-full bench lint fmt clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

setup: $(STEPS:%=setup-%) ## Install everything that builds and tests need

setup-%:
	@scripts/setup.sh $*

demo: setup-vulkan build web ## Embed sample texts natively, then serve the demo page (PORT=8080; SERVE=0 stops before)
	scripts/demo.sh
	@if [ "$(SERVE)" != 0 ]; then node scripts/serve.mjs --port $(PORT); \
	else echo "The page: node scripts/serve.mjs --port $(PORT)"; fi

build: setup-rust ## Build the command line, target/release/pplx-embed
	$(ENV) cargo build --release

web: setup-rust setup-wasm32 setup-wasm-bindgen setup-npm ## Build what a browser needs, dist/
	scripts/build-web.sh

docs: setup-rust setup-docs ## Build the documentation as a site, target/site
	scripts/build-docs.sh

test: setup ## Everything a change must pass
	scripts/test.sh

test-native: setup-rust setup-vulkan setup-browser setup-mesa ## Rust tests, on the processor and on software GPUs
	scripts/test-native.sh

test-web: setup-rust setup-browser setup-wasm32 setup-wasm-bindgen setup-wasm-pack ## Rust tests in headless Chromium
	scripts/test-web.sh

test-js: setup-browser web ## TypeScript tests, against dist/
	npm test

test-full: test ## test, then what takes too long for every change (13 GB of disk, 11 GB of memory)
	scripts/test-full.sh

bench: setup-browser build web ## Compare with other engines on this machine (bench/compare/run.mjs says what can be chosen)
	scripts/bench.sh

lint: setup-rust setup-wasm32 setup-lint ## Formatting, and clippy for both targets
	$(ENV) cargo fmt --check
	node bench/render.mjs --check
	$(ENV) cargo clippy --all-targets -- -D warnings
	$(ENV) use_wasm_toolchain && cargo clippy --lib --profile wasm --target $$WASM_TARGET -- -D warnings

fmt: setup-rust setup-lint ## Format the Rust code
	$(ENV) cargo fmt

clean: ## Delete everything that was built
	rm -rf target dist
