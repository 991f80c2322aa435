import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import { S3Client } from "@aws-sdk/client-s3";

export interface S3Place {
  readonly bucket: string;
  /** Empty, or ends with `/`. */
  readonly prefix: string;
  /** URL of a compatible store; unset for AWS. */
  readonly endpoint?: string | undefined;
  /** Unset: as the SDK finds it, for a compatible store `us-east-1`. */
  readonly region?: string | undefined;
}

/**
 * Bounds of a request, in milliseconds: a storage that can't be reached is told of within `requestMs`, which holds for
 * all attempts together.
 */
export const limits = { connectMs: 1_000, attemptMs: 2_500, requestMs: 5_000, attempts: 3 } as const;

/** Credentials come from where the SDK looks for them: environment, shared files, web identity, the machine's role. */
export function s3Client({ endpoint, region = endpoint && "us-east-1" }: S3Place): S3Client {
  // Each download that is under way has a connection of its own, and look-ups must not wait for one of theirs.
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
      // Whoever reads a body slowly is bounded elsewhere.
      socketTimeout: 0,
      httpAgent: new HttpAgent(connections),
      httpsAgent: new HttpsAgent(connections),
    },
    // Bodies are streams of ranges, which have no checksum; and not every compatible store knows the newer ones.
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
  });
}
