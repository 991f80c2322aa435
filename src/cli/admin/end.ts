import { Ending, type EndSessionsReport } from "../../../gen/downlease/admin/v1/admin_pb.ts";
import { visible } from "../../client/printable.ts";
import { required } from "../answers.ts";
import { CliError } from "../failure.ts";
import type { Task } from "../run.ts";
import { confirm } from "./confirm.ts";
import { type FilterFlags, filterOf, type SessionFilter } from "./session-filter.ts";

interface EndFlags extends FilterFlags {
  readonly all?: boolean;
  readonly cancel?: boolean;
  readonly fail?: string;
  readonly delete?: boolean;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
}

type EndTask = Task<EndFlags>;

interface Way {
  readonly ending: Ending;
  readonly errorMessage?: string;
  /** What the command does, and what the sessions are then. */
  readonly verb: string;
  readonly participle: string;
}

interface Refusals {
  readonly error: string;
  count: number;
  readonly ids: string[];
}

/** What all calls of a command have done together. */
class Outcome {
  ended = 0;
  readonly refusals: Refusals[] = [];

  add({ ended, refusals }: EndSessionsReport): void {
    this.ended += Number(ended);
    for (const { error, count, ids } of refusals) {
      const same = this.refusals.find((each) => each.error === error);
      if (same === undefined) this.refusals.push({ error, count: Number(count), ids: [...ids] });
      else {
        same.count += Number(count);
        same.ids.push(...ids.slice(0, maxShownIds - same.ids.length));
      }
    }
  }

  get refused(): number {
    return this.refusals.reduce((sum, { count }) => sum + count, 0);
  }
}

/** Ids of one call. */
const maxIds = 1_000;
/** Ids that are shown of each kind of refusal. */
const maxShownIds = 10;

export async function end(task: EndTask): Promise<void> {
  const { server, flags, io } = task;
  const way = wayOf(flags);
  const choices = await choicesOf(task);
  if (flags.dryRun) return report(task, way, await run(task, way, choices, true));
  if (!flags.yes) {
    const question = async () => {
      const { ended } = await run(task, way, choices, true);
      return `${way.verb} ${sessions(ended)} of ${visible(server.url)}?`;
    };
    await confirm(io, question, "nothing was ended");
  }
  const outcome = await run(task, way, choices, false);
  report(task, way, outcome);
  if (task.operands.length > 0 && outcome.refused > 0) {
    const exit = outcome.refusals[0]!.error === "not_found" ? "not_found" : "lease_lost";
    throw new CliError(
      exit,
      `${outcome.refused} of ${sessions(outcome.ended + outcome.refused)} could not be ended`,
    );
  }
}

/** @throws CliError `usage` */
function wayOf({ cancel, fail, delete: remove }: EndFlags): Way {
  const ways: Way[] = [
    ...(cancel ? [{ ending: Ending.CANCEL, verb: "cancel", participle: "canceled" }] : []),
    ...(fail === undefined
      ? []
      : [{ ending: Ending.FAIL, errorMessage: fail, verb: "fail", participle: "failed" }]),
    ...(remove ? [{ ending: Ending.DELETE, verb: "delete", participle: "deleted" }] : []),
  ];
  if (ways.length === 1) return ways[0]!;
  throw new CliError("usage", "say how the sessions are to end: --cancel, --fail <text> or --delete");
}

/** The members that choose sessions, for one call after the other. @throws CliError `usage` */
async function choicesOf(task: EndTask): Promise<readonly object[]> {
  const { operands, flags } = task;
  const filter: SessionFilter = await filterOf(task);
  const hasFilter = Object.keys(filter).length > 0;
  if ([operands.length > 0, hasFilter, flags.all].filter(Boolean).length !== 1) {
    const options = "--owner, --item, --state and --min-age";
    throw new CliError(
      "usage",
      `say which sessions are to end: by ids, by ${options}, or --all for everybody's`,
    );
  }
  if (operands.length === 0) return [hasFilter ? filter : { all: true }];
  const ids = [...new Set(operands)];
  const parts = Array.from({ length: Math.ceil(ids.length / maxIds) }, (_, part) => part * maxIds);
  return parts.map((start) => ({ ids: ids.slice(start, start + maxIds) }));
}

/** Calls until everything is done. */
async function run(
  { server, call, output }: EndTask,
  { ending, errorMessage, participle }: Way,
  choices: readonly object[],
  dryRun: boolean,
): Promise<Outcome> {
  const outcome = new Outcome();
  const way = { ending, dryRun, ...(errorMessage !== undefined && { errorMessage }) };
  const soFar = () => `${sessions(outcome.ended)} ${dryRun ? "counted" : participle} so far`;
  try {
    for (const choice of choices) {
      for (let pageToken: string | undefined; ; ) {
        const request = { ...choice, ...way, ...(pageToken !== undefined && { pageToken }) };
        const answer = required((await server.admin.endSessions(request, call)).report, "report");
        outcome.add(answer);
        pageToken = answer.nextPageToken;
        if (pageToken === undefined) break;
        output.note(soFar());
      }
    }
  } catch (error) {
    if (outcome.ended > 0 && !dryRun) output.note(soFar());
    throw error;
  }
  return outcome;
}

function report({ output, flags }: EndTask, way: Way, { ended, refusals }: Outcome): void {
  if (output.isJson) {
    output.json({ ended, dry_run: flags.dryRun === true, refusals });
    return;
  }
  const first = flags.dryRun
    ? `would ${way.verb} ${sessions(ended)}`
    : `${sessions(ended)} ${way.participle}`;
  const others = refusals.map(({ error, count, ids }) => {
    const more = count > ids.length ? ", …" : "";
    return `${sessions(count)} not ${way.participle}: ${error}: ${ids.join(", ")}${more}`;
  });
  output.lines([first, ...others]);
}

function sessions(count: number): string {
  return `${count} ${count === 1 ? "session" : "sessions"}`;
}
