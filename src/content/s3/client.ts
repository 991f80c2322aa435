import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import { S3Client } from "@aws-sdk/client-s3";

/** Where libraries are in S3. */
export interface S3Place {
  readonly bucket: string;
  /** Empty, or ends with `/`. */
  readonly prefix: string;
  /** URL of a compatible store; unset for AWS. */
  readonly endpoint?: string | undefined;
  /** Unset: the SDK's own choice, or `us-east-1` for a compatible store. */
  readonly region?: string | undefined;
}

/** Time limits of a request, in milliseconds. `requestMs` is for all attempts together. */
export const limits = { connectMs: 1_000, attemptMs: 2_500, requestMs: 5_000, attempts: 3 } as const;

/** Credentials come from the SDK's usual sources: environment, shared files, web identity, the machine's role. */
export function s3Client({ endpoint, region = endpoint && "us-east-1" }: S3Place): S3Client {
  // Each running download has a connection of its own, and look-ups must not wait for one of theirs.
  const connections = { keepAlive: true, maxSockets: Number.POSITIVE_INFINITY };
  return new S3Client({
    ...(region !== undefined && { region }),
    ...(endpoint !== undefined && { endpoint, forcePathStyle: true }),
    followRegionRedirects: true,
    maxAttempts: limits.attempts,
    requestHandler: {
      connectionTimeout: limits.connectMs,
      requestTimeout: limits.attemptMs,
      throwOnRequestTimeout: true,
      // Slow readers of a body are limited elsewhere.
      socketTimeout: 0,
      httpAgent: new HttpAgent(connections),
      httpsAgent: new HttpsAgent(connections),
    },
    // Bodies are streams of ranges, which have no checksum; and not every compatible store knows the newer ones.
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
  });
}
