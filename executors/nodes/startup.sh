#!/bin/bash
# A node of a broker's Ray cluster. What fails here ends the machine; so does the end of its lifetime, whatever happens.
set -euo pipefail
shutdown -P +$lifetime_minutes "The node's lifetime has ended" || true
trap 'echo "broker: start-up failed in line $$LINENO"; systemctl poweroff' ERR
BROKER_RAY_TOKEN=$token
HOME_DIR=/opt/broker
umask 022
mkdir -p $$HOME_DIR

# Who am I?
MD=http://169.254.169.254
if [ $metadata = ec2 ]; then
  T=$$(curl -sf -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 300' $$MD/latest/api/token)
  NODE=$$(curl -sf -H "X-aws-ec2-metadata-token: $$T" $$MD/latest/meta-data/instance-id)
  ADDRESS=$$(curl -sf -H "X-aws-ec2-metadata-token: $$T" $$MD/latest/meta-data/local-ipv4)
else
  NODE=$$(curl -sf -H 'Metadata-Flavor: Google' $$MD/computeMetadata/v1/instance/name)
  ADDRESS=$$(curl -sf -H 'Metadata-Flavor: Google' $$MD/computeMetadata/v1/instance/network-interfaces/0/ip)
fi

# The watchdog first: from here on the machine ends itself when it is not needed.
cat > $$HOME_DIR/watchdog.json <<'CONFIG'
$config
CONFIG
base64 -d <<'PROGRAM' | gunzip > $$HOME_DIR/watchdog.py
$watchdog
PROGRAM
cat > /etc/systemd/system/broker-watchdog.service <<UNIT
[Unit]
Description=Ends this machine when it is idle, too old, or lost
[Service]
ExecStart=/usr/bin/python3 -u $$HOME_DIR/watchdog.py $$HOME_DIR/watchdog.json
Restart=always
RestartSec=5
OOMScoreAdjust=-1000
[Install]
WantedBy=multi-user.target
UNIT
systemctl daemon-reload
systemctl enable --now broker-watchdog.service

# Jobs run as a user of their own, which can read neither this script nor what the machine may do at its provider.
id ray >/dev/null 2>&1 || useradd --create-home --shell /bin/bash ray
command -v iptables >/dev/null || { apt-get -qq update && apt-get -qq install -y iptables; }
iptables -w -I OUTPUT -d 169.254.169.254 -m owner --uid-owner ray -j REJECT
install -d -o ray -g ray -m 700 /home/ray/.ray
install -o ray -g ray -m 600 <(printf %s "$$BROKER_RAY_TOKEN") /home/ray/.ray/auth_token

# Ray and Python, unless the image brings them.
if [ ! -x $$HOME_DIR/venv/bin/ray ]; then
  export DEBIAN_FRONTEND=noninteractive
  python3 -c 'import ensurepip' 2>/dev/null || { apt-get -qq update && apt-get -qq install -y python3-venv; }
  python3 -m venv $$HOME_DIR/bootstrap
  $$HOME_DIR/bootstrap/bin/pip -q install uv
  export UV_PYTHON_INSTALL_DIR=$$HOME_DIR/python
  $$HOME_DIR/bootstrap/bin/uv venv -q --python $python $$HOME_DIR/venv
  $$HOME_DIR/bootstrap/bin/uv pip install -q --python $$HOME_DIR/venv/bin/python $packages
fi
$setup

cat > $$HOME_DIR/ray-as-user <<'RAY'
#!/bin/sh
exec runuser -u ray -- env HOME=/home/ray RAY_AUTH_MODE=token /opt/broker/venv/bin/ray "$$@"
RAY
chmod 755 $$HOME_DIR/ray-as-user
cat > $$HOME_DIR/start-ray <<RAY
#!/bin/sh
exec $$HOME_DIR/venv/bin/ray start $ray
RAY
chmod 755 $$HOME_DIR/start-ray
cat > /etc/systemd/system/broker-ray.service <<UNIT
[Unit]
Description=Ray
[Service]
User=ray
Environment=RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0 PATH=$$HOME_DIR/venv/bin:/usr/local/bin:/usr/bin:/bin
WorkingDirectory=/home/ray
ExecStart=$$HOME_DIR/start-ray
LimitNOFILE=65536
UNIT
systemctl daemon-reload
systemctl start broker-ray.service
