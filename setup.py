"""What the project is and needs. Tool settings are in pyproject.toml, exact versions in
constraints.txt, which is valid for all extras together on Python 3.11 to 3.13."""

from setuptools import find_packages, setup

# Some packages change between minor versions: these lower bounds are what the project was built on.
SCORING = [
    "apache-beam>=2.77",
    "deltalake>=1.6.6",
    "duckdb>=2.0",
    "h3ronpy>=0.22",
    "h5py>=3.11",
    "numpy>=2.0",
    "obstore>=0.12",
    "pillow>=12.1",
    "pyarrow>=21",
    "rasterio>=1.4",
    "shapely>=2.1",
    "simplejpeg>=1.9",
    "tqdm>=4.66",
]

# What computes a model. A worker needs one of the two: docs/decisions/cpu-engine.md
CPU = ["openvino>=2026.4"]

# The extra gcs-filesystem is today's form of tensorflow-io; it has no wheel for Python 3.13, and
# nothing here needs it: docs/decisions/tensorflow-io.md
GPU = [
    "keras>=3.15.1",  # opens what it saves, which 3.14 does not; older ones have known holes
    "tensorflow>=2.21",
    'tensorflow[gcs-filesystem]>=2.21; python_version < "3.13"',
]

TRAIN = [
    *CPU,
    *GPU,
    "matplotlib>=3.9",
    "nncf>=3.4",
    "scikit-learn>=1.5",
    "scipy>=1.11",
]

GCP = [
    "apache-beam[gcp]>=2.77",
    "google-cloud-storage>=2.18.2",
]

# To list what obstore cannot: docs/decisions/obstore.md
AWS = ["boto3>=1.35"]

# To read files of areas, and to export alerts.
GEO = ["geopandas>=1.1", "pyogrio>=0.10"]

# To cut chips from scenes: docs/decisions/scenes.md
SCENES = ["imagecodecs>=2025.3.30"]

# To sign artifacts and to check signatures. model-signing imports pyopenssl, but does not name it.
SIGN = ["model-signing>=1.1", "pyopenssl>=24"]

# What analysts open the tables with, in addition to SQL.
ANALYSIS = ["pandas>=2.2"]

# moto's own extra `server` brings forty packages for services other than S3.
TEST = [
    *SIGN,
    "boto3>=1.35",
    "cleanlab>=2.9",  # what suspected label errors are held to: docs/decisions/label-errors.md
    "flask>=3.0",
    "flask-cors>=5.0",
    "gcp-storage-emulator>=2024.8.3",
    "geopandas>=1.1",
    "geoparquet-validator>=0.2",
    "google-cloud-storage>=2.18.2",
    "h3>=4.1",
    "hypothesis>=6.100",
    "moto[s3]>=5.1",
    "pytest>=8.2",
    "pytest-xdist>=3.6",
    "python-hcl2>=8.1",
    "pyyaml>=6.0",
    "sqlglot>=30",
    "time-machine>=2.16",
    "werkzeug>=3.0",
]

DEV = [
    "mypy>=1.15",
    "ruff>=0.14",
    "types-tqdm>=4.66",
    "uv>=0.9",
]

PACKAGES = ("schemas", "pipelines", "train", "beam_jobs")  # workers get the source without `train`

setup(
    name="forest-chips",
    version="0.1.0",
    description="Labels satellite chips: trains a classifier, scores an archive of millions with "
    "Apache Beam into Delta tables, and answers questions in SQL",
    license="Apache-2.0",
    python_requires=">=3.11,<3.14",
    packages=find_packages(include=[f"{name}{below}" for name in PACKAGES for below in ("", ".*")]),
    package_data={
        "schemas": ["sql/*/*.sql", "sql/*/*/*.sql", "bigquery/*.json"],
        "pipelines.blocks": ["*.css"],
        "pipelines.briefs": ["*.css", "*.js", "words/*.json", "vendor/*"],
        "train.sample": ["*.csv"],
        "train.study.documents": ["*.css", "*.js"],
    },
    entry_points={"console_scripts": ["forest-chips = beam_jobs.__main__:main"]},
    install_requires=SCORING,
    extras_require={
        "cpu": CPU,
        "gpu": GPU,
        "train": TRAIN,
        "gcp": GCP,
        "aws": AWS,
        "analysis": ANALYSIS,
        "geo": GEO,
        "scenes": SCENES,
        "sign": SIGN,
        "test": TEST,
        "dev": DEV,
    },
    zip_safe=False,
    classifiers=[
        "Private :: Do Not Upload",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: GIS",
    ],
)
