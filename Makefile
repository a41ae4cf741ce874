# What a newcomer types. Everything runs in .venv; every path is relative, so the clone may stand anywhere.
PYTHON ?= python3

.PHONY: demo test lint gpu clean

# The main job: the batch-size experiment on real images. A second time it picks up what is there.
demo: digits
	.venv/bin/python -m fastbs sweep --preset demo digits --out runs/demo

digits: | .venv/installed
	.venv/bin/python -m fastbs data make digits digits

# A file's tests stay together: they share what they train. Triton decides at its import whether kernels are interpreted:
# those tests have processes of their own.
PARALLEL = --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
test: .venv/installed
	.venv/bin/python -m pytest $(PARALLEL) -m "not interpreter"
	TRITON_INTERPRET=1 .venv/bin/python -m pytest $(PARALLEL) -m interpreter tests/kernels

lint: .venv/installed
	.venv/bin/python -m ruff check .
	.venv/bin/python -m ruff format --check .
	.venv/bin/python -m mypy
	.venv/bin/hadolint Dockerfile
	.venv/bin/python -c "from importlinter.cli import lint_imports; raise SystemExit(lint_imports())"

# All that needs a card, from the source tree with the interpreter's own packages: installs nothing. What fails does
# not keep the rest from running. DATA is the folder that holds scenes.tar and its like; OUT takes a JSON file per bench.
OUT ?= runs/gpu
BENCH = PYTHONPATH=. "$(PYTHON)" -m fastbs bench
GPU = gpu-tests gpu-throughput gpu-update gpu-adamw gpu-augment gpu-inference gpu-data
.PHONY: $(GPU)
gpu:
	@$(MAKE) --keep-going --no-print-directory $(GPU)

gpu-tests:
	PYTHONPATH=. $(if $(DATA),FASTBS_SHARED_DATA="$(DATA)") "$(PYTHON)" -m pytest -rs -m gpu tests
gpu-throughput:
	$(BENCH) throughput --device cuda --model small,resnet50 --batch-sizes 1,8,32,128 --json "$(OUT)/throughput.json"
gpu-update:
	$(BENCH) update --device cuda --batch-sizes 1,8,32,128 --processes 2 --json "$(OUT)/update.json"
gpu-adamw:
	$(BENCH) update --optimizer adamw --device cuda --processes 2 --blocks 3 --block-seconds 0.2 --json "$(OUT)/adamw.json" \
		-- -k "fused or ours"
gpu-augment:
	PYTHONPATH=. "$(PYTHON)" -m fastbs.bench.augmentation --device cuda --json "$(OUT)/augment.json"
gpu-inference:
	$(BENCH) inference --device cuda --model resnet50 --batch-sizes 1,8,32,128 --processes 2 --json "$(OUT)/inference.json"
gpu-data:
	$(BENCH) data --device cuda --batch-sizes 8,128 --processes 2 --json "$(OUT)/data.json"

# What make has made; other results under runs/ stay.
clean:
	rm -rf .venv digits runs/demo build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	rm -rf .benchmarks
	find fastbs kernels bench tests requirements -name __pycache__ -prune -exec rm -rf {} +

.venv/installed: requirements/cpu.txt requirements/install.py pyproject.toml
	"$(PYTHON)" requirements/install.py
	touch .venv/installed
