# Shorthands; the work is in scripts/. To build and install the library use CMake, see README.md.
.DEFAULT_GOAL := help
.PHONY: help demo test test-matrix test-simulation test-reliability sanitize interop fuzz costs bench bench-quick header abi docs fmt clean

SEEDS ?= 20000

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /make \1\t/p' Makefile | expand -t 24

demo: ## Send and show telemetry through a broker on this machine, for ten seconds
	@scripts/demo.sh

test: ## Run every check and every test
	@scripts/test.sh

test-simulation: ## Run clients against the broker on fake time, SEEDS=N times
	ISCP_SIMULATION_SEEDS=$(SEEDS) cargo test --release --test simulation

test-reliability: ## Break connections, brokers and processes a thousand times, for half an hour
	ISCP_RELIABILITY=full cargo test --release -p iscp-cli --test reliability -- --nocapture --test-threads=1

fuzz: ## Fuzz the decoders, FUZZ_SECONDS=N (600) each
	@scripts/fuzz.sh

sanitize: ## Run the C tests with address and thread sanitizers, and the FFI layer under Miri, for half an hour
	@scripts/sanitize.sh

test-matrix: ## Send points over every combination of transport, encoding, compression and QoS
	@scripts/test_matrix.sh

interop: ## Run the official clients against the broker and the C library
	@scripts/interop.sh

costs: ## Count instructions and allocations per point, and compare with bench/budgets.txt
	@bench/costs.sh --profile

bench: ## Measure libiscp beside other clients and bare sockets, about twelve minutes and the builds; bench/results
	@bench/run.sh

bench-quick: ## The same in under three minutes, with fewer points and runs
	@bench/run.sh --quick

header: ## Write include/iscp/iscp.h anew from the Rust sources
	ISCP_UPDATE_HEADER=1 cargo test -p iscp --test header

abi: ## Add what is new in the header to abi/
	ISCP_UPDATE_ABI=1 cargo test -p iscp --test abi

docs: ## Make the reference of the C and C++ interface, build/docs/index.html
	@scripts/docs.sh

fmt: ## Format all Rust and C sources
	@scripts/fmt.sh

clean: ## Remove everything that was built
	rm -rf build target
