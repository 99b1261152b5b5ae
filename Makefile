# Needs Python 3.11 or later with pip, and make. Every target sets up what it needs, once; a lock file that changes sets it up anew.

PYTHON ?= python3
SOURCES := $(patsubst %/__init__.py,%,$(wildcard layers/*/*/__init__.py cli/*/__init__.py local/*/__init__.py)) functions workstation tests
# What real people use, and the package of each: the tests drive it.
PROGRAMS := /usr/bin/WebKitWebDriver /usr/bin/Xvfb /usr/bin/chromium-headless-shell /usr/bin/gpg-agent /usr/bin/mmdebstrap /usr/bin/ssh \
	/usr/bin/systemd-socket-activate /usr/bin/tmux /usr/bin/top /usr/sbin/ip /usr/sbin/mkfs.xfs /usr/sbin/sshd

# What the days of the traces use beside, only for `make record`.
RECORDED := /usr/bin/gdb /usr/bin/node /usr/bin/npm /usr/bin/psql /usr/bin/screen /usr/bin/sqlite3 /usr/bin/vim

export PYTHONPATH := layers/autostop:local:cli:.
export SAM_CLI_TELEMETRY := 0
export UV_HTTP_TIMEOUT := 180
export UV_PYTHON_DOWNLOADS := never
# Every process of the tests would compile all of them anew, with their assertions.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1 \t\2/p' $(MAKEFILE_LIST) | expand -t 20

.PHONY: setup
setup: environments .machine/root .machine/warm ## make the four Python environments, and what the machines run on

.PHONY: environments
environments: .venv/.synced .venv-sam/.synced .venv-emulator/.synced .venv-acme/.synced

.PHONY: demo
demo: environments ## run the whole product on this machine, with no AWS account
	@$(MAKE) --no-print-directory .machine/root .machine/warm || echo "the demo goes on without them"
	.venv/bin/python -m autostop_local.demo

# The Python of Lambda's runtime, where this machine has one. The built functions run on it in any case.
RUNTIME := $(shell sed -n 's/^ *Runtime: python//p' template.yaml)
RUNTIME_PYTHON := $(shell PATH="$$PWD/.tools/bin:$$PATH" sh layers/autostop/find-python $(RUNTIME))
RUNTIME_VENV := $(if $(RUNTIME_PYTHON),.venv-runtime/.synced)

# Four times as many as two cores: whoever waits for a real server or for a real window of idleness uses none.
WORKERS := 8

# What waits longest begins first: no folder stands within another of the list, or pytest takes them by the alphabet.
# One process compiles the tests for the workers.
LONGEST := tests/e2e/ tests/person/ tests/workstation/ tests/simulation/ tests/probe/ tests/traces/ tests/page/
TESTS := $(LONGEST) $(filter-out $(LONGEST),$(sort $(dir $(wildcard tests/*/test_*.py)))) $(wildcard tests/test_*.py)

.PHONY: test
test: setup $(PROGRAMS) $(RUNTIME_VENV) ## run every test, the end-to-end ones too
	@mkdir -p build
	@.venv/bin/pytest --collect-only --quiet $(TESTS) > build/collected.log || cat build/collected.log
	.venv/bin/pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(TESTS)

.PHONY: test-versions
test-versions: test-runtime test-botocore ## run what depends on them again on the versions of Lambda's runtime

.PHONY: test-runtime
ifdef RUNTIME_PYTHON
test-runtime: $(RUNTIME_VENV) ## run the tests of the decisions and the handlers on the Python of Lambda's runtime
	.venv-runtime/bin/pytest --ignore tests/handlers/test_built_functions.py \
		tests/idle tests/sleep tests/handlers tests/test_*.py
else
test-runtime:
	@echo "NOT TESTED on Lambda's Python $(RUNTIME): there is none here; all else is, on $(PYTHON)"
endif

# Lambda's boto3 is the runtime's, and may be older than the one that is locked here: that one comes first on the path.
.PHONY: test-botocore
test-botocore: .venv/.synced .botocore/.synced ## run the tests of the adapters on the oldest botocore that Lambda may have
	PYTHONPATH=.botocore:$(PYTHONPATH) .venv/bin/pytest \
		$(addprefix tests/aws/test_,clients.py ebs.py ec2.py errors.py ledger.py metrics.py queue.py sns.py ssm.py)

.PHONY: invoke
invoke: .venv/.synced .venv-sam/.synced $(RUNTIME_VENV) ## let a built function answer an example event under Lambda's runtime: EVENT=api-page
	@.venv/bin/python -m tests.handlers.invoke $(EVENT)

.PHONY: coverage
coverage: setup ## measure which lines of the product the tests in its own process run
	.venv/bin/pytest --numprocesses 2 --dist loadfile --cov --cov-report=term:skip-covered tests/test_*.py \
		tests/idle tests/sleep tests/app tests/aws tests/cli tests/handlers tests/probe tests/simulation tests/traces

# Seeds and processes of the attacks: make simulate SEEDS=2000 FIRST=0 JOBS=2
SEEDS ?= 500
FIRST ?= 0
JOBS ?= 2

.PHONY: simulate
simulate: .venv/.synced ## attack the lifecycle by simulated histories: SEEDS=2000 of them
	.venv/bin/python -m tests.simulation $(SEEDS) --first $(FIRST) --jobs $(JOBS)

.PHONY: tell
tell: .venv/.synced ## tell one simulated history line by line: FIRST=its seed
	.venv/bin/python -m tests.simulation 1 --first $(FIRST) --tell

.PHONY: crash-matrix
crash-matrix: .venv/.synced ## let the function die at every call of whole nights, and twice
	.venv/bin/python -m tests.simulation.crash_matrix --jobs $(JOBS)

.PHONY: denied
denied: .venv/.synced ## refuse one call after another for good, over nights and days: is all safe, judged, told?
	.venv/bin/python -m tests.simulation.lasting --jobs $(JOBS)

.PHONY: sabotage
sabotage: .venv/.synced ## take out each guard of the law in turn, and see who notices
	.venv/bin/python -m tests.simulation.sabotage --jobs $(JOBS)

.PHONY: traces
traces: .venv/.synced ## judge the labelled traces by our rule and by those of the peers
	.venv/bin/python -m tests.traces

.PHONY: fuzz
fuzz: .venv/.synced ## let one user of a machine attack the probe of another's work: SEEDS=20000 cases
	.venv/bin/python -m tests.probe.fuzz $(SEEDS) $(FIRST)

.PHONY: record
record: environments .venv-recorded/.synced $(PROGRAMS) $(RECORDED) ## play what the traces record with real programs, in half an hour: DAYS="NAME ..."
	$(AS_ROOT) env PYTHONPATH=$(PYTHONPATH) .venv/bin/python -m tests.traces.record $(DAYS)

.PHONY: bench
bench: .venv/.synced .venv-sam/.synced $(RUNTIME_VENV) .venv-custodian/.synced ## time cold starts, count a sweep's AWS calls beside Cloud Custodian's
	.venv/bin/python -m tests.bench

.PHONY: wheel
wheel: .venv/.synced .venv-sam/.synced ## build the wheel that users install, with all that "autostop create" deploys, into build/wheel
	.venv/bin/python -m autostop_local.wheel

# Before a version's number changes: what it deployed and its command are what the next one is deployed over, by tests/e2e.
OF ?= HEAD
.PHONY: version-before
version-before: /usr/bin/xz ## keep the product of a commit as the version that tests upgrade from: OF=its tag
	git archive $(OF) template.yaml layers/autostop functions cli ':!layers/autostop/requirements.*' | xz -9e > $@.tar.xz
	mv $@.tar.xz tests/e2e/data/

.PHONY: lines
lines: ## count the lines of Python by room, beside what each may have
	@$(PYTHON) -m tests.lines

.PHONY: docs
docs: .venv/.synced ## write the tables of docs/ that follow from the settings and the template
	.venv/bin/python -m tests.docs.tables

.PHONY: pictures
pictures: .venv/.synced /usr/bin/chromium-headless-shell ## take the pictures of docs/pictures: the page in every state, by day and by night
	.venv/bin/python -m tests.page.take_pictures

.PHONY: check
check: check-style check-types check-layers check-template ## run every check that needs no running

.PHONY: check-style
check-style: .venv/.synced
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/pytest --quiet tests/test_imports.py tests/handlers/test_handlers_are_short.py

.PHONY: check-types
check-types: .venv/.synced
	.venv/bin/mypy $(SOURCES)

.PHONY: check-layers
check-layers: .venv/.synced
	.venv/bin/lint-imports

# What checkov asks for and the controller does without: keys of one's own beside AWS's, a dollar a month each (27, 119, 158,
# 173; 26: a notice goes on as a mail in the clear); queues of failed calls, which the next sweep makes good (116); a share
# of the account's concurrency, which is ten in all for new accounts (115); a VPC, whose way to AWS costs more than all the
# rest (117); a log of accesses, for what template.yaml says of the API (95).
UNWANTED := CKV_AWS_26,CKV_AWS_27,CKV_AWS_95,CKV_AWS_115,CKV_AWS_116,CKV_AWS_117,CKV_AWS_119,CKV_AWS_158,CKV_AWS_173
CHECKOV := .venv-checkov/bin/checkov --quiet --compact --framework cloudformation --skip-download

# A Region only because cfn-lint wants to know where; nothing is asked of AWS.
.PHONY: check-template
check-template: .venv/.synced .venv-sam/.synced .venv-checkov/.synced
	.venv/bin/cfn-lint template.yaml
	.venv/bin/cfn-lint --regions us-east-1 -- workstation/template.yaml
	AWS_DEFAULT_REGION=us-east-1 .venv-sam/bin/sam validate --lint
	AWS_DEFAULT_REGION=us-east-1 .venv-sam/bin/sam validate --lint --config-env workstation
	$(CHECKOV) --file workstation/template.yaml
	$(CHECKOV) --file template.yaml --skip-check $(UNWANTED)

.PHONY: format
format: .venv/.synced ## put the Python code into its one form
	.venv/bin/ruff check --fix --exit-zero .
	.venv/bin/ruff format .

.PHONY: clean
clean: ## remove what builds, tests and checks left; the environments stay
	rm -rf build .aws-sam .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache

# -- environments ------------------------------------------------------------------------------------------------------

.PHONY: lock
lock: .tools/.synced ## write the lock files anew, keeping the pins that still fit (UPGRADE=--upgrade lifts them)
	$(call lock,layers/autostop/requirements)
	$(call lock,requirements/uv)
	$(call lock,requirements/dev,--override requirements/jupyter.overrides)
	$(call lock,requirements/botocore)
	$(call lock,requirements/sam)
	$(call lock,requirements/emulator)
	$(call lock,requirements/custodian)
	$(call lock,requirements/checkov)
	$(call lock,requirements/recorded)
	$(if $(UPGRADE),date --utc +%FT00:00:00Z > $(NEWEST))
	$(call lock,workstation/boot/environments/jupyterlab,--override requirements/jupyter.overrides --exclude-newer "$$(cat $(NEWEST))")
	$(call lock,workstation/boot/environments/certbot,--exclude-newer "$$(cat $(NEWEST))")
	$(call lock,requirements/acme)

# A workstation asks for the hashes anew (they do not fit into its user data), and so must find the same ones.
NEWEST := workstation/boot/environments/newest

# $(1): path of the .in file, without its ending, $(2): more options
lock = .tools/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	$(UPGRADE) $(2) $(1).in --output-file $(1).txt

# $(1): the environment's directory, $(2): its lock file
define sync
	@echo "setting up $(1) from $(2)"
	@test -x $(1)/bin/python || .tools/bin/uv venv --quiet --python $(PYTHON) $(1)
	@.tools/bin/uv pip sync --quiet --compile-bytecode --require-hashes --python $(1)/bin/python $(2)
	@touch $(1)/.synced
endef

.venv/.synced: requirements/dev.txt | .tools/.synced
	$(call sync,.venv,$<)

# What a function imports of Lambda's own comes with bytecode there.
.venv-runtime/.synced: PYTHON = $(RUNTIME_PYTHON)
.venv-runtime/.synced: requirements/dev.txt | .tools/.synced
	$(call sync,.venv-runtime,$<)
	@.venv-runtime/bin/python -m compileall -q $(addprefix .venv-runtime/lib/python$(RUNTIME)/site-packages/,awslambdaric boto3 botocore \
		dateutil jmespath s3transfer simplejson six.py snapshot_restore_py.py urllib3)

.venv-sam/.synced: requirements/sam.txt | .tools/.synced
	$(call sync,.venv-sam,$<)

# The functions run on the emulator's Python. Any but the runtime's, for which the layer holds bytecode, compiles it at each start.
.venv-emulator/.synced: private PYTHON := $(or $(RUNTIME_PYTHON),$(PYTHON))
.venv-emulator/.synced: requirements/emulator.txt | .tools/.synced
	$(call sync,.venv-emulator,$<)

.venv-acme/.synced: requirements/acme.txt | .tools/.synced
	$(call sync,.venv-acme,$<)

.botocore/.synced: requirements/botocore.txt | .tools/.synced
	@echo "setting up .botocore from $<"
	@.tools/bin/uv pip sync --quiet --compile-bytecode --require-hashes --python $(PYTHON) --target .botocore $<
	@touch $@

# Only for `make check`.
.venv-checkov/.synced: requirements/checkov.txt | .tools/.synced
	$(call sync,.venv-checkov,$<)

# Only for `make record`.
.venv-recorded/.synced: requirements/recorded.txt | .tools/.synced
	$(call sync,.venv-recorded,$<)

# Only for `make bench`: the tests do without it.
.venv-custodian/.synced: requirements/custodian.txt | .tools/.synced
	$(call sync,.venv-custodian,$<)

# Into a directory of its own, so that neither the system's Python nor the venv module (apart on Debian) is needed.
.tools/.synced: requirements/uv.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or later is needed: make PYTHON=python3.12")'
	@$(PYTHON) -m pip --version >/dev/null || { echo "pip is needed: on Debian, apt-get install python3-pip"; exit 1; }
	@PIP_USER=0 PIP_REQUIRE_VIRTUALENV=0 $(PYTHON) -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --require-hashes --upgrade --target .tools -r $<
	@touch $@

# What the machines of the tests and of the demo share. Their disks and namespaces need root.
AS_ROOT := $(shell test "$$(id -u)" = 0 || echo sudo)

.machine/root: local/autostop_local/machine/prepare_root.sh | /usr/bin/mmdebstrap
	@echo "setting up $@, in some two minutes"
	@$(AS_ROOT) $< $@
	@$(AS_ROOT) touch $@

.machine/warm: local/autostop_local/machine/prepare_warm.sh requirements/uv.txt $(wildcard workstation/boot/environments/*) | .tools/.synced
	@echo "setting up $@"
	@PATH="$$PWD/.tools/bin:$$PATH" $< $@ $(PYTHON)
	@touch $@

# A real browser, a real sshd. Debian starts a server as soon as it is installed, and at every boot; this one is for the
# tests alone, which start their own: policy-rc.d is Debian's way to say so.
/usr/bin/WebKitWebDriver: package := webkit2gtk-driver
/usr/bin/Xvfb: package := xvfb
# The browser without its own windows: a third of the processor's time of `chromium --headless`.
/usr/bin/chromium-headless-shell: package := chromium-headless-shell
/usr/bin/gdb: package := gdb
/usr/bin/gpg-agent: package := gnupg
/usr/bin/mmdebstrap: package := mmdebstrap
/usr/bin/node: package := nodejs
/usr/bin/npm: package := npm
/usr/bin/psql: package := postgresql
/usr/bin/screen: package := screen
/usr/bin/sqlite3: package := sqlite3
/usr/bin/ssh: package := openssh-client
/usr/bin/systemd-socket-activate: package := systemd
/usr/bin/tmux: package := tmux
/usr/bin/top: package := procps
/usr/bin/vim: package := vim
/usr/bin/xz: package := xz-utils
/usr/sbin/ip: package := iproute2
/usr/sbin/mkfs.xfs: package := xfsprogs
/usr/sbin/sshd: package := openssh-server

$(PROGRAMS) $(RECORDED) /usr/bin/xz:
	@command -v apt-get >/dev/null || { echo "$@ is needed and there is no apt-get: install it there"; exit 1; }
	@echo "installing Debian's $(package) for the tests"
	@as_root=; test "$$(id -u)" = 0 || as_root=sudo; \
	policy=/usr/sbin/policy-rc.d; \
	if ! test -e $$policy; then \
		printf '#!/bin/sh\nexit 101\n' | $$as_root tee $$policy >/dev/null; $$as_root chmod +x $$policy; \
		trap "$$as_root rm -f $$policy" EXIT; trap 'exit 1' INT TERM; \
	fi; \
	$$as_root apt-get -qq update && DEBIAN_FRONTEND=noninteractive $$as_root apt-get -qq install --yes --no-install-recommends $(package) >/dev/null \
		|| { echo "$(package) could not be installed: as root, apt-get install $(package)"; exit 1; }; \
	if test "$(package)" = openssh-server && command -v systemctl >/dev/null; then \
		$$as_root systemctl --quiet disable ssh.service || true; \
	fi
