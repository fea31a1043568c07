# make run    sets up and runs the main job: camera (or the bundled clip) to MQTT and a live page
# make test   sets up and runs lint, types and tests
# make check  runs lint, types and the tests of what changed since the last commit (SINCE=main: since main)
# make board  tests flash, push, updates and rollback on an emulated Arm board; takes hours; ARGS="upgrade broken" runs some
#             steps; ARGS=--native in a container of this machine's processor; takes ten minutes
PYTHON ?= python3
export PYTHON
BIN := .venv/bin
DEV := .venv-dev/bin
ARGS ?=
PICTURE_AT ?= 53
SINCE ?= HEAD

.PHONY: run test check lint bench compare edge deploy board package-test root-test training lock resolve picture clean

run: edge
	@$(BIN)/emotion-edge demo $(ARGS)

test: training lint
	@deploy/test-packages.sh
	$(DEV)/pytest -n 2 --dist loadfile --durations=10 $(ARGS)

check: training lint
	@tests=$$($(DEV)/python -m tests.changed $(SINCE)); [ -z "$$tests" ] || $(DEV)/pytest -q $$tests $(ARGS)

lint: training
	$(DEV)/ruff check .
	$(DEV)/ruff format --check .
	$(DEV)/mypy

bench: edge
	@$(BIN)/emotion-edge bench $(ARGS)

# Beside what one would pick instead, in docs/performance.md; fetches some gigabytes of other people's packages.
compare: edge training
	@$(DEV)/python -m tests.bench --out docs/performance.md $(ARGS)

# The board's packages only; no TensorFlow.
edge:
	@deploy/setup.sh .venv requirements/board.txt

# What emotion-deploy needs, and no TensorFlow: cards, packages and boards over SSH.
deploy:
	@deploy/setup.sh .venv-deploy requirements/deploy.txt

# A whole emulated machine, or with --native a container, flashed and pushed to; images and logs are in .cache/emulated.
board: training
	@$(DEV)/python -m deploy.emulated.board_test $(ARGS)

# Both packages in bare arm64 roots under qemu: needs root, takes up to an hour.
package-test: training
	@deploy/apt.sh qemu-user-static mmdebstrap mosquitto mosquitto-clients || true
	@$(DEV)/python -m deploy.cli package
	@deploy/package-test.sh $(ARGS)

# Package, README and card files in bare Debian roots of this machine's architecture; needs root and mmdebstrap.
root-test: training
	@deploy/apt.sh mmdebstrap lintian || true
	@deploy/root-test.sh package
	@deploy/root-test.sh readme
	@deploy/root-test.sh cards

# Everything: training, quantization, tests.
training:
	@deploy/setup.sh .venv-dev requirements/dev.txt

# The locks, from pyproject.toml; each holds for every platform at once. UPGRADE=--upgrade renews them.
COMPILE = $(DEV)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url $(UPGRADE)
lock: training
	$(COMPILE) pyproject.toml -o requirements/board.txt
	$(COMPILE) --extra training --extra dev --extra deploy -c requirements/board.txt pyproject.toml -o requirements/dev.txt
	$(COMPILE) --extra deploy -c requirements/dev.txt pyproject.toml -o requirements/deploy.txt

# The picture of the annotated stream in the README.
picture: edge
	$(BIN)/emotion-edge snapshot --camera.source edge/media/clip.mp4 --after $(PICTURE_AT) --out docs/stream.jpg

# Shows what the lock installs on each kind of board and workstation, and how large that is.
resolve: training
	@for target in x86_64:3.11 x86_64:3.13 aarch64:3.11 aarch64:3.13; do \
	  echo "== $$target"; \
	  $(DEV)/uv pip install --no-config --target build/$$target --python-platform $${target%:*}-manylinux_2_34 \
	    --python-version $${target#*:} --only-binary :all: --require-hashes --no-progress -r requirements/board.txt \
	  && du -sh build/$$target; \
	done

clean:
	rm -rf .venv .venv-dev .venv-deploy .cache build
