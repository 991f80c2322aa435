import { randomUUID } from "node:crypto";
import {
  DeleteObjectsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type PutObjectCommandInput,
  S3Client,
} from "@aws-sdk/client-s3";
import { startFauxqs } from "fauxqs";

/** Credentials, as the SDK finds them in the environment. */
export type S3Credentials = Readonly<Record<"AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY", string>>;

/** Those of the tests. */
export const s3Credentials: S3Credentials = {
  AWS_ACCESS_KEY_ID: "AKIATEST",
  AWS_SECRET_ACCESS_KEY: "of the tests",
};

/** A server that speaks S3, with methods to fill its buckets. */
export interface S3Server {
  readonly url: string;
  /** Makes an empty bucket. */
  bucket(): Promise<TestBucket>;
  stop(): Promise<void>;
}

export interface TestBucket {
  readonly name: string;
  put(key: string, content: string | Uint8Array, more?: Partial<PutObjectCommandInput>): Promise<void>;
  remove(key: string): Promise<void>;
  /** Removes all keys with the prefix. */
  removeBelow(prefix: string): Promise<void>;
}

/** In this process, in memory, on a free port. It checks no signatures. */
export async function startS3Server(): Promise<S3Server> {
  const server = await startFauxqs({ port: 0, logger: false, host: "127.0.0.1" });
  const url = `http://127.0.0.1:${server.port}`;
  const client = s3ClientFor(url);
  return {
    url,
    async bucket() {
      const name = `test-${randomUUID()}`;
      server.createBucket(name);
      return testBucket(client, name);
    },
    async stop() {
      client.destroy();
      await server.stop();
    },
  };
}

/** With the defaults of the SDK: checksums in the trailers of chunked bodies, as other clients upload. */
export function s3ClientFor(endpoint: string, credentials: S3Credentials = s3Credentials): S3Client {
  return new S3Client({
    endpoint,
    region: "us-east-1",
    forcePathStyle: true,
    credentials: {
      accessKeyId: credentials.AWS_ACCESS_KEY_ID,
      secretAccessKey: credentials.AWS_SECRET_ACCESS_KEY,
    },
  });
}

export function testBucket(client: S3Client, name: string): TestBucket {
  const remove = async (keys: readonly string[]) => {
    const Objects = keys.map((Key) => ({ Key }));
    await client.send(new DeleteObjectsCommand({ Bucket: name, Delete: { Objects } }));
  };
  return {
    name,
    async put(Key, Body, more) {
      const ContentLength = Buffer.byteLength(Body);
      await client.send(new PutObjectCommand({ Bucket: name, Key, Body, ContentLength, ...more }));
    },
    remove: (key) => remove([key]),
    async removeBelow(Prefix) {
      const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket: name, Prefix }));
      await remove(Contents.map(({ Key }) => Key!));
    },
  };
}
