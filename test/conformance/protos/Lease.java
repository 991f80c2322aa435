import io.downlease.content.library.item.v1.CreateRequest;
import io.downlease.content.library.item.v1.CreateResponse;
import io.downlease.content.library.item.v1.DownloadSessionModel;
import io.downlease.content.library.item.v1.GetRequest;
import io.downlease.content.library.item.v1.GetResponse;
import io.downlease.content.library.item.v1.KeepAliveRequest;
import com.google.protobuf.MessageLite;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;

/** Holds a lease with the code that protoc makes for Java, over Connect. Arguments: address, item. */
public class Lease {
  public static void main(String[] args) throws Exception {
    var spec = DownloadSessionModel.newBuilder().setLibraryItemId(args[1]);
    var created = CreateResponse.parseFrom(call(args[0], "Create", CreateRequest.newBuilder().setCreateSpec(spec).build()));
    var id = created.getDownloadSessionId();
    call(args[0], "KeepAlive", KeepAliveRequest.newBuilder().setDownloadSessionId(id).setProgress(40).build());
    var got = GetResponse.parseFrom(call(args[0], "Get", GetRequest.newBuilder().setDownloadSessionId(id).build()));
    System.out.println("progress " + got.getDownloadSession().getClientProgress());
  }

  private static byte[] call(String address, String method, MessageLite message) throws Exception {
    var uri = URI.create("http://" + address + "/content.library.item.v1.DownloadSessionService/" + method);
    var request = HttpRequest.newBuilder(uri)
        .timeout(Duration.ofSeconds(20))
        .header("Content-Type", "application/proto")
        .POST(HttpRequest.BodyPublishers.ofByteArray(message.toByteArray()))
        .build();
    var response = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofByteArray());
    if (response.statusCode() != 200) throw new IllegalStateException(new String(response.body()));
    return response.body();
  }
}
