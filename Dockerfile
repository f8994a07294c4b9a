# docker build -t rasnode .
# docker run --init --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges \
#     -p 11112:11112 -p 127.0.0.1:8080:8080 -v rasnode:/data rasnode
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS build
WORKDIR /src
RUN python -m venv /opt/rasnode
# The requirements first: they change less often than the program.
COPY requirements/run.txt requirements/run.txt
RUN /opt/rasnode/bin/pip install --no-cache-dir --require-hashes -r requirements/run.txt
COPY requirements/notices.py requirements/notices.py
RUN /opt/rasnode/bin/python requirements/notices.py requirements/run.txt \
    /opt/rasnode/share/rasnode/THIRD-PARTY-NOTICES.txt
COPY pyproject.toml README.md LICENSE CHANGELOG.md CONTRIBUTING.md config.yaml ./
COPY docs docs
COPY systemd systemd
COPY node node
RUN /opt/rasnode/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:${PYTHON}-slim
RUN groupadd --gid 10001 rasnode \
    && useradd --uid 10001 --gid rasnode --no-create-home --home-dir /data \
       --shell /usr/sbin/nologin rasnode \
    && install -d -o rasnode -g rasnode -m 0750 /data \
    # No setuid programs: a program that an attacker starts has only the rights of this user.
    && find / -xdev -type f -perm /6000 -exec chmod a-s {} +
COPY --from=build /opt/rasnode /opt/rasnode
COPY config.yaml /etc/rasnode/config.yaml
# In the file and not in the environment, which would override a file that you mount instead.
# The page is reached from outside of the container, so users have to log in: `docker exec -it
# rasnode rasnode user add NAME --role admin -c /etc/rasnode/config.yaml`.
RUN sed -i -e 's|^  root: \./data |  root: /data  |' -e 's|^  host: 127\.0\.0\.1 |  host: 0.0.0.0   |' \
    -e 's|^  auth: null  |  auth: {local: true}  |' /etc/rasnode/config.yaml
ENV PATH=/opt/rasnode/bin:$PATH \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 11112 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=20s --start-period=30s --retries=3 \
    CMD ["rasnode", "doctor", "--running", "--only", "dicom", "-c", "/etc/rasnode/config.yaml"]
ENTRYPOINT ["rasnode"]
CMD ["serve", "--quiet", "-c", "/etc/rasnode/config.yaml"]
