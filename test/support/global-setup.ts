import type { TestProject } from "vitest/node";
import { bundleProgram } from "./program.ts";
import { startRedis } from "./redis-server.ts";

/**
 * Bundles the program, and provides the shared Redis: the one that is given, else one in a container, else a process.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const redis = givenRedis() ?? (await redisContainer()) ?? (await startRedis());
  project.provide("redisUrl", redis.url);
  await bundleProgram();
  project.onTestsRerun(bundleProgram);
  return () => redis.stop();
}

interface SharedRedis {
  readonly url: string;
  stop(): Promise<void>;
}

function givenRedis(): SharedRedis | undefined {
  const url = process.env.REDIS_URL;
  return url ? { url, stop: async () => {} } : undefined;
}

const engineAnswerMs = 5_000;
const containerStartMs = 120_000;

async function redisContainer(): Promise<SharedRedis | undefined> {
  const { GenericContainer, getContainerRuntimeClient } = await import("testcontainers");
  const engine = await Promise.race([
    getContainerRuntimeClient().catch(() => undefined),
    new Promise<undefined>((resolve) => setTimeout(resolve, engineAnswerMs, undefined).unref()),
  ]);
  if (engine === undefined) return undefined;
  try {
    const container = await new GenericContainer("redis:7.4-alpine")
      .withCommand(["redis-server", "--save", "", "--maxmemory-policy", "noeviction"])
      .withExposedPorts(6379)
      .withStartupTimeout(containerStartMs)
      .start();
    return {
      url: `redis://${container.getHost()}:${container.getMappedPort(6379)}`,
      stop: async () => void (await container.stop()),
    };
  } catch (error) {
    // An engine without a way to the image: the executable does as well, and it is there for other tests anyway.
    process.stdout.write(`no Redis container (${error instanceof Error ? error.message : error})\n`);
    return undefined;
  }
}
