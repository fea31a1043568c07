# make run    sets up and runs the main job: camera (or the bundled clip) to MQTT and a live page
# make test   sets up and runs lint, types and tests
PYTHON ?= python3
export PYTHON
BIN := .venv/bin
DEV := .venv-dev/bin
ARGS ?=

.PHONY: run test bench board training lock resolve picture clean

run: board
	@$(BIN)/emotion-edge demo $(ARGS)

test: training
	@deploy/test-packages.sh
	$(DEV)/ruff check .
	$(DEV)/ruff format --check .
	$(DEV)/mypy
	$(DEV)/pytest $(ARGS)

bench: board
	@$(BIN)/emotion-edge bench $(ARGS)

# The board's packages only; no TensorFlow.
board:
	@deploy/setup.sh .venv requirements/board.txt

# Everything: training, quantization, tests.
training:
	@deploy/setup.sh .venv-dev requirements/dev.txt

# The locks, from pyproject.toml; each holds for every platform at once. Needs uv.
lock:
	uv pip compile -q --universal --generate-hashes --no-annotate --no-header --no-emit-index-url pyproject.toml -o requirements/board.txt
	uv pip compile -q --universal --generate-hashes --no-annotate --no-header --no-emit-index-url --extra training --extra dev -c requirements/board.txt pyproject.toml -o requirements/dev.txt

clean:
	rm -rf .venv .venv-dev .cache build
