import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { loadConfig } from "../../src/config/load.ts";
import type { Config } from "../../src/config/settings.ts";
import {
  chartPath,
  lint,
  type Resource,
  refusal,
  rendered,
  resourcesOf,
  valueSets,
} from "../support/chart.ts";
import { helm, kubernetesSchemas } from "../support/client-tools.ts";
import { reasonAgainstTools } from "../support/peer-tools.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

const reason = reasonAgainstTools([helm, kubernetesSchemas]);

/** A value of each kind, for the files that the pods read. */
const secretTexts: Readonly<Record<string, string>> = {
  DOWNLEASE_REDIS_URL_FILE: "rediss://downlease:s3cr3t@redis:6379/1",
  DOWNLEASE_REDIS_SENTINEL_PASSWORD_FILE: "s3cr3t",
  DOWNLEASE_LINK_KEYS_FILE: `2026-1=${Buffer.alloc(32, 7).toString("base64")}`,
};

let directory: TempDir;
beforeAll(async () => {
  directory = await tempDir();
});
afterAll(() => directory.remove());

/** What one set of values makes. */
function release(set: string, ...args: readonly string[]) {
  const resources = resourcesOf(rendered(set, ...args));
  const all = (kind: string) => resources.filter((resource) => resource.kind === kind);
  const pod: Resource = all("Deployment")[0].spec.template;
  const [container] = pod.spec.containers;
  const variables: Record<string, string> = Object.fromEntries(
    container.env.map(({ name, value }: Resource) => [name, value]),
  );
  return { resources, all, deployment: all("Deployment")[0], pod, container, variables };
}

/** The configuration that the program makes of the variables of a pod, whose files are made here. */
async function configOf(variables: Readonly<Record<string, string>>): Promise<Config> {
  const environment = { ...variables };
  for (const [name, text] of Object.entries(secretTexts)) {
    const path = environment[name];
    if (path === undefined) continue;
    environment[name] = join(directory.path, path);
    await mkdir(dirname(environment[name]), { recursive: true });
    await writeFile(environment[name], `${text}\n`);
  }
  return loadConfig({ flags: {}, environment });
}

const matches = (selector: Record<string, string>, labels: Record<string, string>) =>
  Object.entries(selector).every(([name, value]) => labels[name] === value);

describe.skipIf(reason !== undefined).each(valueSets)(
  `the chart with the values %s${reason ?? ""}`,
  (set) => {
    test("passes helm lint", () => {
      expect(lint(set)).toContain("1 chart(s) linted, 0 chart(s) failed");
    });

    test.each(["1.27", "1.37"])("fits the schemas of Kubernetes %s", async (version) => {
      const path = join(directory.path, `${set}.yaml`);
      await writeFile(path, rendered(set));
      const command = ["--strict", "--kubernetes-version", version, path];
      const validate = join(dirname(kubernetesSchemas.path), "bin/kubernetes-validate");
      const output = execFileSync(validate, command, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
      const passed = output.match(/passed for resource/g) ?? [];
      const own = release(set).resources.filter(({ apiVersion }) => !/coreos|gateway\.net/.test(apiVersion));
      expect(passed.length).toBe(own.length);
    });

    test("configures the service, and it has time to stop", async () => {
      const { pod, variables } = release(set);
      const config = await configOf(variables);
      expect(config.host).toBe("0.0.0.0");
      expect(config.adminListen).toMatchObject({ host: "0.0.0.0", isDefault: false });
      const stopMs = Math.max(config.graceMs, config.transferGraceMs);
      const { terminationGracePeriodSeconds: patience } = pod.spec;
      expect(patience * 1000).toBeGreaterThanOrEqual(stopMs + 5000);
      expect(patience * 1000).toBeLessThanOrEqual(stopMs + 15_000);
    });

    test("leads services, budget and policies to the pods, and ports to their names", () => {
      const { all, resources, deployment, pod, container } = release(set);
      const { labels } = pod.metadata;
      expect(matches(deployment.spec.selector.matchLabels, labels)).toBe(true);
      const ports = container.ports.map(({ name }: Resource) => name);
      for (const { spec } of all("Service")) {
        expect(matches(spec.selector, labels)).toBe(true);
        for (const { targetPort } of spec.ports) expect(ports).toContain(targetPort);
      }
      for (const { spec } of [...all("PodDisruptionBudget"), ...all("NetworkPolicy")])
        expect(matches((spec.selector ?? spec.podSelector).matchLabels, labels)).toBe(true);
      for (const { spec } of all("NetworkPolicy"))
        for (const { ports: open } of spec.ingress)
          for (const { port } of open) expect(ports).toContain(port);
      for (const { spec } of all("HorizontalPodAutoscaler"))
        expect(spec.scaleTargetRef).toMatchObject({ kind: "Deployment", name: deployment.metadata.name });
      const [service, metrics] = all("Service");
      const backends = JSON.stringify([...all("Ingress"), ...all("HTTPRoute")]).match(
        /"name":"[^"]*","port":[^}]*/g,
      );
      for (const backend of backends ?? [])
        expect(backend).toMatch(
          new RegExp(
            `"name":"${service.metadata.name}","port":(\\{"number":)?${service.spec.ports[0].port}$`,
          ),
        );
      for (const { spec } of all("ServiceMonitor")) {
        expect(matches(spec.selector.matchLabels, metrics.metadata.labels)).toBe(true);
        expect(matches(spec.selector.matchLabels, service.metadata.labels)).toBe(false);
        expect(spec.endpoints).toMatchObject([{ port: metrics.spec.ports[0].name, path: "/metrics" }]);
        expect(spec.namespaceSelector.matchNames).toEqual(["leases"]);
      }
      const names = resources.map(({ kind, metadata }) => `${kind} ${metadata.name}`);
      expect(new Set(names).size).toBe(names.length);
    });

    test("asks the admin address how the pod is", () => {
      const { container, variables } = release(set);
      const admin = container.ports.find(({ name }: Resource) => name === "admin");
      expect(variables.DOWNLEASE_ADMIN_LISTEN).toBe(`0.0.0.0:${admin.containerPort}`);
      const probes = ["startupProbe", "livenessProbe", "readinessProbe"].map(
        (name) => container[name].httpGet,
      );
      expect(probes.map(({ port }) => port)).toEqual(["admin", "admin", "admin"]);
      expect(probes.map(({ path }) => path)).toEqual(["/healthz", "/healthz", "/readyz"]);
      const { periodSeconds, failureThreshold } = container.readinessProbe;
      const { DOWNLEASE_DRAIN_SECONDS: drain } = variables;
      expect(Number(drain)).toBeGreaterThan(periodSeconds * failureThreshold);
    });

    test("gives the pod secrets as files only, and nothing that it does not need", () => {
      const { pod, container, variables } = release(set);
      const text = JSON.stringify(variables);
      expect(text).not.toMatch(/secretKeyRef|:\/\/[^"]*@/);
      const mounts = new Map(container.volumeMounts.map((mount: Resource) => [mount.mountPath, mount]));
      const volumes = new Map(pod.spec.volumes.map((volume: Resource) => [volume.name, volume]));
      const files = Object.values(variables).filter((value) => value.startsWith("/etc/downlease/"));
      for (const file of files) {
        const mount: Resource = mounts.get(dirname(file));
        expect(mount, file).toMatchObject({ readOnly: true });
        const volume: Resource = volumes.get(mount.name);
        expect(volume.secret.defaultMode).toBe(0o440);
        expect(volume.secret.items.map(({ path }: Resource) => join(mount.mountPath, path))).toContain(file);
      }
      expect(container.volumeMounts.every(({ name }: Resource) => volumes.has(name))).toBe(true);
      expect(pod.spec).toMatchObject({
        enableServiceLinks: false,
        automountServiceAccountToken: false,
        securityContext: { runAsNonRoot: true, runAsUser: 1000, seccompProfile: { type: "RuntimeDefault" } },
      });
      expect(container.securityContext).toEqual({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ["ALL"] },
      });
    });
  },
);

describe.skipIf(reason !== undefined)(`values of the chart${reason ?? ""}`, () => {
  test("SQLite has one pod, which is gone before the next one starts", () => {
    const { all, deployment, pod } = release("sqlite");
    expect(deployment.spec).toMatchObject({ replicas: 1, strategy: { type: "Recreate" } });
    expect(all("PodDisruptionBudget")).toEqual([]);
    const [claim] = all("PersistentVolumeClaim");
    expect(pod.spec.volumes).toContainEqual({
      name: "data",
      persistentVolumeClaim: { claimName: claim.metadata.name },
    });
  });

  test("numbers and switches reach the program as it takes them", async () => {
    const { variables } = release("s3");
    expect(await configOf(variables)).toMatchObject({
      maxConnections: 1_000_000,
      verifyFirst: true,
      leaseMs: 500,
    });
  });

  test("the rules and the board are those of the repository", () => {
    const { all } = release("secure");
    const read = (path: string) => readFileSync(join(chartPath, "../..", path), "utf8");
    expect(all("PrometheusRule")[0].spec).toEqual(parse(read("prometheus/rules.yml")));
    expect(all("ConfigMap")[0].data["downlease.json"]).toBe(read("grafana/downlease.json"));
    // The job that the rules name, whatever the release is called.
    expect(all("ServiceMonitor")[0].spec.endpoints[0].relabelings).toEqual([
      { action: "replace", targetLabel: "job", replacement: "downlease" },
    ]);
  });

  test("gRPC has an Ingress of its own", () => {
    const ingresses = release("redis").all("Ingress");
    expect(ingresses.map(({ spec }) => spec.rules.map(({ host }: Resource) => host))).toEqual([
      ["dl.example"],
      ["grpc.dl.example"],
    ]);
    const protocol = "nginx.ingress.kubernetes.io/backend-protocol";
    expect(ingresses.map(({ metadata }) => metadata.annotations[protocol])).toEqual([undefined, "GRPC"]);
  });

  test.each([
    ["a name that is no value", "open", ["store.redis.uri=redis://redis"], "uri"],
    ["a setting that is none", "open", ["settings.leaseSecond=3"], "leaseSecond"],
    ["a setting that has a value of its own", "open", ["settings.graceSeconds=3"], "graceSeconds"],
    ["a secret as a setting", "open", ["settings.linkKeys=a=b"], "linkKeys"],
    ["a password", "open", ["store.redis.url=redis://:s3cr3t@redis"], "/store/redis/url"],
    ["a URL of Redis, and a Secret with another one", "redis", ["store.redis.url=redis://redis"], "not both"],
    ["no store", "open", ["store.redis.url="], "store.redis.urlSecret"],
    ["SQLite with two pods", "sqlite", ["replicaCount=2"], "is for one pod"],
    ["no content", "open", ["content.volume.source=null"], "content.volume.existingClaim"],
    ["nobody who may call", "redis", ["auth.usersSecret.name="], "auth.insecureNoAuth"],
    ["certificates of clients without TLS", "secure", ["tls.secret="], "needs tls.secret"],
    ["more time to drain than to stop", "open", ["shutdown.drainSeconds=30"], "must be less"],
  ])("%s is refused", (_, set, values, message) => {
    expect(refusal(set, ...values.flatMap((value) => ["--set", value]))).toContain(message);
  });

  test("the package of the chart has what it links to, and no values of tests", async () => {
    execFileSync(helm.path, ["package", chartPath, "--destination", directory.path], { stdio: "ignore" });
    const list = execFileSync("tar", ["-tzvf", join(directory.path, "downlease-0.2.0.tgz")], {
      encoding: "utf8",
    });
    expect(list).toMatch(/^-.* downlease\/files\/rules\.yml$/m);
    expect(list).not.toContain("/ci/");
  });
});
