import { grpc, grpcBatch, grpcStream } from "./grpc-doors.ts";
import { connectJson, connectProto, rest } from "./http1-doors.ts";

export const doors = { rest, connectJson, connectProto, grpc, grpcStream, grpcBatch };
