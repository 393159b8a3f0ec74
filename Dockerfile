# Two images: `docker build --target core -t floodseg .` and `docker build --target training -t floodseg:training .`
FROM python:3.12-slim AS core
# rasterio's wheel does not include libexpat
RUN apt-get update && apt-get install -y --no-install-recommends libexpat1 && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/floodseg
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN python -m pip install --no-cache-dir '.[clouds,stac]'
WORKDIR /data
ENTRYPOINT ["floodseg"]

FROM core AS training
WORKDIR /opt/floodseg
RUN python -m pip install --no-cache-dir '.[train,clouds,stac]'
WORKDIR /data
