ARG BASE=python:3.13-slim-bookworm

FROM ${BASE} AS builder
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /srv/cashman
COPY Pipfile Pipfile.lock bootstrap.sh ./
# The same setting up as on any machine. Here the C parser has to be there, and pipenv has done its work.
RUN PIP_NO_CACHE_DIR=1 ./bootstrap.sh setup \
    && .venv/bin/python -c "import gunicorn_h1c" \
    && rm -rf .venv/pipenv .venv/log
# What nothing reads when it runs: sources of what is compiled, tests, symbols for a debugger, and what Babel
# knows of languages in which nothing is told.
RUN cd .venv/lib/python3*/site-packages \
    && find . -type d -name tests -prune -exec rm -rf {} + \
    && find . -name '*.py[xd]' -delete -o -name '*.[ch]' -delete -o -name '*.cpp' -delete \
    && find babel/locale-data -name '*.dat' ! -name 'root.dat' \
        ! -name 'en*.dat' ! -name 'de*.dat' ! -name 'es*.dat' ! -name 'fr*.dat' ! -name 'pt*.dat' -delete \
    && find . -name '*.so*' -exec strip --strip-unneeded {} +
COPY gunicorn.conf.py ./
COPY tools/sbom.py tools/
RUN .venv/bin/python tools/sbom.py Pipfile.lock >sbom.cdx.json && rm -r tools
COPY cashman ./cashman
# The root file system may be read-only: what Python would write beside the code is written now. By
# hash, so that it stays valid whatever the files' times become. And whatever mode the files had where
# they came from, the service's user has to read them.
RUN .venv/bin/python -m compileall -q --invalidation-mode unchecked-hash cashman && chmod -R a+rX .

FROM ${BASE}
ARG VERSION=0
LABEL org.opencontainers.image.title="Cashman" \
      org.opencontainers.image.description="A ledger to docker run and curl in ten seconds, and to trust for ten years" \
      org.opencontainers.image.version="${VERSION}"
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /data --shell /usr/sbin/nologin cashman \
    && install -d -o cashman -g cashman -m 700 /data
WORKDIR /srv/cashman
COPY --from=builder /srv/cashman ./
RUN ln -s /srv/cashman/bootstrap.sh /usr/local/bin/cashman
ENV CASHMAN_DATABASE_URL=sqlite:////data/cashman.db \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
VOLUME /data
EXPOSE 5000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s \
    CMD ["/srv/cashman/.venv/bin/python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ.get(\"PORT\") or 5000}/healthz', timeout=4)"]
ENTRYPOINT ["./bootstrap.sh"]
CMD ["serve"]
