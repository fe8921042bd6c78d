# `make demo` and `make test` need only Python >= 3.10 and make; they install everything else into .venv.
PYTHON ?= python3
VENV ?= .venv
BIN ?= $(VENV)/bin
PORT ?= 8080
DEMO := runs/demo
READY := runs/ready/signature_vs_text
RECIPE := trainer/ready/recipes/signature_vs_text
VERIFIER_RECIPE := trainer/ready/recipes/same_writer
FINDER := runs/ready/signature_on_page
FINDER_RECIPE := trainer/ready/recipes/signature_on_page
DATA ?= ../shared/data
DEMO_FLAGS ?=
PARALLEL := -n auto --dist loadgroup

.PHONY: demo test test-fast coverage test-whole test-docs test-image serve ready ready-classifier ready-verifier ready-finder bench bench-serving bench-verification fonts lint lock clean
.DEFAULT_GOAL := demo

demo: $(VENV)/installed  ## train the ready artefact on the generated dataset, export, serve, answer a JSON request
	rm -rf $(DEMO)
	$(BIN)/python -m trainer.task --job-dir $(DEMO) --init-from ready:signature_vs_text $(DEMO_FLAGS)
	$(BIN)/python -m trainer.samples $(DEMO)/new --seed 99 --writers 1 --genuine 1 --forged 0 --text 1
	@set -e; port=$$($(BIN)/python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'); \
	$(BIN)/python -m predictor --artifact $(DEMO)/model --host 127.0.0.1 --port $$port & server=$$!; \
	trap 'kill $$server 2>/dev/null || true; wait $$server' EXIT; \
	echo "sending a signature and a word that were not in the training data to http://127.0.0.1:$$port/predict:"; \
	$(BIN)/python -m predictor.request --send http://127.0.0.1:$$port/predict $(DEMO)/new/signature/* $(DEMO)/new/text/*; \
	kill -0 $$server
	@echo "The report is $(DEMO)/report/report.md; serve the model with: make serve"

test: $(VENV)/installed-dev  ## run the tests
	$(BIN)/python -m pytest $(PARALLEL)

test-fast: $(VENV)/installed-dev  ## run the tests that take less than about two seconds and need no TensorFlow
	$(BIN)/python -m pytest $(PARALLEL) --without-tensorflow -m "not slow and not image and not pages and not whole"

coverage: $(VENV)/installed-dev  ## run the tests and print the lines of each file that no test executes
	$(BIN)/python -m pytest $(PARALLEL) --cov --cov-report=term-missing:skip-covered

test-whole: $(VENV)/installed-dev  ## run the long tests that train, interrupt or deploy: devices, workers, Cloud Storage
	$(BIN)/python -m pytest $(PARALLEL) -m whole

test-docs: $(VENV)/installed-dev  ## run all commands of the README and the docs, and the notebooks
	$(BIN)/python -m pytest $(PARALLEL) -m pages tests/test_docs.py tests/test_notebook.py

test-image: $(VENV)/installed-dev  ## build and run the prediction container; needs a network
	$(BIN)/python -m pytest -m image tests/test_image.py

serve: $(VENV)/installed  ## serve the newest model on this machine in mode dev, without a run the ready one; the page can train another
	ENV_MODE=dev $(BIN)/python -m predictor --host 127.0.0.1 --port $(PORT) --people runs/people.sqlite --artifact "$$($(BIN)/python -m trainer.pipeline.run_dir)"

ready: ready-classifier ready-verifier ready-finder  ## train and pack the ready artefacts again, for more than two hours; continues when interrupted

ready-classifier: $(VENV)/installed-dev fonts  ## train, measure and pack ready:signature_vs_text again, for about 45 minutes
	$(BIN)/python -m trainer.task --config $(RECIPE).toml --job-dir $(READY)
	$(BIN)/python -m tests.bench.sources $(READY)/model --measurements $(READY)/measurements.json
	$(BIN)/python -m trainer.ready $(READY)/model signature_vs_text --facts $(RECIPE).json --measurements $(READY)/measurements.json

ready-verifier: $(VENV)/installed-dev  ## train and pack ready:same_writer again, on the research sets in DATA, for about half an hour
	$(BIN)/python -m tests.bench.verification all --seeds 7 --data $(DATA) --out runs/ready/same_writer
	$(BIN)/python -m trainer.ready runs/ready/same_writer/all-7/model same_writer --facts $(VERIFIER_RECIPE).json --measurements $(VERIFIER_RECIPE).measurements.json

ready-finder: $(VENV)/installed-dev fonts  ## train, measure and pack ready:signature_on_page again, for about 50 minutes
	$(BIN)/python -m trainer.task --config $(FINDER_RECIPE).toml --job-dir $(FINDER)
	rm -rf $(FINDER)/int8
	$(BIN)/python -m trainer.variant $(FINDER)/model int8 $(FINDER)/int8
	$(BIN)/python -m tests.bench.pages $(FINDER)/int8 --data $(DATA) --measurements $(FINDER)/measurements.json
	rm -rf $(FINDER)/watched
	$(BIN)/python -m trainer.samples $(FINDER)/watched --pages 300 --layout yolo --seed 987654
	$(BIN)/python -m trainer.evaluate $(FINDER)/int8 --data $(FINDER)/watched --classifier ready:signature_vs_text --out $(FINDER)/watched-report
	$(BIN)/python -m trainer.ready $(FINDER)/int8 signature_on_page --facts $(FINDER_RECIPE).json --measurements $(FINDER)/measurements.json --monitoring $(FINDER)/watched-report/monitoring.json --variants int8 --verifier ready:same_writer

bench: $(VENV)/installed-dev  ## measure speed; not part of the tests
	$(BIN)/python -m tests.bench.imaging
	$(BIN)/python -m tests.bench.preparing
	$(BIN)/python -m tests.bench.duplicates
	$(BIN)/python -m tests.bench.training
	$(BIN)/python -m tests.bench.generating
	$(BIN)/python -m tests.bench.startup
	$(BIN)/python -m tests.bench.answering
	$(BIN)/python -m tests.bench.embedding
	$(BIN)/python -m tests.bench.request_parsing

bench-serving: $(VENV)/installed-dev  ## measure our server and others, with overload and attacks; installs them in .bench/
	$(BIN)/python -m tests.bench.serving
	$(BIN)/python -m tests.bench.overload .bench/model
	$(BIN)/python -m tests.bench.attack 20000 .bench/model

bench-verification: $(VENV)/installed-dev  ## train and measure verifiers on public data sets in DATA, for three hours
	$(BIN)/python -m tests.bench.verification --data $(DATA) --measurements $(VERIFIER_RECIPE).measurements.json

fonts: $(VENV)/installed  ## download the fonts for generated text in 25 scripts into the cache folder; needs npm and a network
	$(BIN)/python -m trainer.samples.font_download

lint: $(VENV)/installed-dev  ## check style, types and Dockerfiles
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/hadolint Dockerfile.serve deploy/jobs/Dockerfile deploy/jobs/Dockerfile.prepare

lock: $(VENV)/installed-dev  ## pin the requirements of setup.py and predictor/requirements.in again, for every supported Python
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile $(LOCK) --override requirements-overrides.txt setup.py --extra dev -o requirements-dev.txt
	$(BIN)/uv pip compile $(LOCK) -c requirements-dev.txt setup.py --extra serve --extra hub --extra deploy -o requirements.txt
	$(BIN)/uv pip compile $(LOCK) --override requirements-overrides.txt -c requirements-dev.txt setup.py --extra beam -o requirements-prepare.txt
	$(BIN)/uv pip compile $(LOCK) -c requirements-dev.txt predictor/requirements.in -o predictor/requirements.txt
LOCK := -q --universal --python-version 3.10 --no-emit-index-url --no-annotate --custom-compile-command "make lock"

clean:  ## delete what was installed and trained
	rm -rf $(VENV) runs

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("Countersign needs Python 3.10 or newer, this is " + sys.version) if sys.version_info < (3, 10) else None'
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: requirements.txt | $(BIN)/python
	$(BIN)/pip install --disable-pip-version-check --progress-bar on -r requirements.txt
	touch $@

$(VENV)/installed-dev: requirements-dev.txt | $(BIN)/python
	$(BIN)/pip install --disable-pip-version-check --progress-bar on --no-deps -r requirements-dev.txt
	touch $@ $(VENV)/installed
