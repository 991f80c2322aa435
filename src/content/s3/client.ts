import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import { S3Client } from "@aws-sdk/client-s3";
import type { TraceHeaders } from "../../domain/trace.ts";

/** Where libraries are in S3. */
export interface S3Place {
  readonly bucket: string;
  /** Empty, or ends with `/`. */
  readonly prefix: string;
  /** URL of a compatible store; unset for AWS. */
  readonly endpoint?: string | undefined;
  /** URL by which clients reach the store; unset: as this service does. */
  readonly publicEndpoint?: string | undefined;
  /** Unset: the SDK's own choice, or `us-east-1` for a compatible store. */
  readonly region?: string | undefined;
  /** Further headers of each request, for the trace that it belongs to. */
  readonly traceHeaders?: TraceHeaders | undefined;
}

/**
 * Time limits of a request, in milliseconds. `requestMs` is for all attempts together. The SDK waits between them, at
 * random: 50 ms at most before the second one, a second when the storage is too busy, and twice as long each time.
 */
export const limits = { connectMs: 1_000, attemptMs: 2_500, requestMs: 5_000, attempts: 4 } as const;

/** Credentials come from the SDK's usual sources: environment, shared files, web identity, the machine's role. */
export function s3Client(place: S3Place): S3Client {
  const { endpoint, region = endpoint && "us-east-1", traceHeaders } = place;
  // Each running download has a connection of its own, and look-ups must not wait for one of theirs.
  const connections = { keepAlive: true, maxSockets: Number.POSITIVE_INFINITY };
  const [httpAgent, httpsAgent] = [new HttpAgent(connections), new HttpsAgent(connections)];
  const client = new S3Client({
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
      httpAgent,
      httpsAgent,
    },
    // Bodies are streams of ranges, which have no checksum; and not every compatible store knows the newer ones.
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
  });
  replaceConnections(client, [httpAgent, httpsAgent]);
  if (traceHeaders !== undefined) addHeaders(client, traceHeaders);
  return client;
}

/** The client that signs URLs for others: the signature covers the host that they are for. */
export function signingClient(client: S3Client, { publicEndpoint: endpoint }: S3Place): S3Client {
  if (endpoint === undefined) return client;
  const { region, credentials } = client.config;
  return new S3Client({ region, credentials, endpoint, forcePathStyle: true });
}

/** After a request without an answer all unused connections are closed: they may lead to the same host, which is gone. */
function replaceConnections({ middlewareStack }: S3Client, agents: readonly HttpAgent[]): void {
  middlewareStack.add(
    (next) => async (input) => {
      try {
        return await next(input);
      } catch (reason) {
        const unused = agents.flatMap(({ freeSockets }) => Object.values(freeSockets).flat());
        for (const socket of unused) socket?.destroy();
        throw reason;
      }
    },
    { step: "deserialize", priority: "low", name: "replaceConnections" },
  );
}

/** After the signature, so that proxies in between may change them. */
function addHeaders({ middlewareStack }: S3Client, traceHeaders: TraceHeaders): void {
  middlewareStack.add(
    (next) => (input) => {
      const { headers } = input.request as { headers: Record<string, string> };
      Object.assign(headers, traceHeaders());
      return next(input);
    },
    { step: "deserialize", priority: "low", name: "traceHeaders" },
  );
}
