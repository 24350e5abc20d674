# docker build -t perfcore .
# docker run --rm --network host --user "$(id -u):$(id -g)" -v "$PWD:/suite" perfcore suite.yaml
#
# /suite is where suites are read and results/ is written; --user makes the results yours. --network host spares
# the load Docker's bridge, which would be measured too.

FROM python:3.12-slim AS build
WORKDIR /source
COPY . .
RUN python -m venv /opt/perfcore && /opt/perfcore/bin/pip install --no-cache-dir '.[tls-target]'

FROM python:3.12-slim
COPY --from=build /opt/perfcore /opt/perfcore
ENV PATH=/opt/perfcore/bin:$PATH PYTHONUNBUFFERED=1
RUN useradd --create-home perfcore && mkdir /suite && chown perfcore:perfcore /suite
USER perfcore
WORKDIR /suite
ENTRYPOINT ["perfcore"]
