using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Text.RegularExpressions;
using Iscp;

// The declarations for the runtime are those of the header.
internal static class HeaderTests
{
    private static readonly string Header = Regex.Replace(
        Regex.Replace(File.ReadAllText(Support.Setting("ISCP_HEADER")), @"/\*.*?\*/", "", RegexOptions.Singleline), @"\s+", " ");

    private static readonly Dictionary<string, string> Numbers = Regex.Matches(Header, @"typedef (u?int\d+_t) (iscp_\w+);")
        .Cast<Match>().ToDictionary(match => match.Groups[2].Value, match => match.Groups[1].Value);

    // A C type as it is declared here: numbers by size and sign, everything else by its stars.
    private static string Shape(string declaration, bool named)
    {
        var words = Regex.Replace(declaration, @"\b(const|struct)\b", " ").Replace("*", " * ")
            .Split(new[] { ' ' }, StringSplitOptions.RemoveEmptyEntries).ToList();
        if (named) words.RemoveAt(words.Count - 1);
        var stars = words.Count - 1;
        var type = words[0];
        if (Numbers.ContainsKey(type)) type = Numbers[type];
        if (type.EndsWith("_cb") || (stars == 0 && type == "iscp_uuid_t")) return type;
        // What is read is an array, what is not is a place for a number.
        var place = stars == 1 && !declaration.Contains("const ");
        if (stars > 0) type = place && (type.StartsWith("uint32") || type.StartsWith("size")) ? type : "pointer";
        return type + new string('*', stars == 0 ? 0 : type == "pointer" ? stars - 1 : stars);
    }

    private static string Shape(Type type, bool isOut, object[] attributes)
    {
        if (isOut) return Shape(type.GetElementType(), false, attributes) + "*";
        if (type == typeof(void)) return "void";
        if (type == typeof(int)) return "int32_t";
        if (type == typeof(uint)) return "uint32_t";
        if (type == typeof(long)) return "int64_t";
        if (type == typeof(ulong)) return "uint64_t";
        if (type == typeof(UIntPtr)) return "size_t";
        if (type == typeof(NativeUuid)) return "iscp_uuid_t";
        if (type == typeof(bool))
        {
            // Otherwise the runtime passes four bytes.
            var marshal = attributes.OfType<MarshalAsAttribute>().SingleOrDefault();
            return marshal != null && marshal.Value == UnmanagedType.I1 ? "bool" : "four-byte bool";
        }
        if (typeof(Delegate).IsAssignableFrom(type)) return type.Name;
        if (type == typeof(IntPtr) || type == typeof(byte[]) || typeof(SafeHandle).IsAssignableFrom(type)) return "pointer";
        throw new InvalidOperationException("no shape for " + type);
    }

    private static string Shape(MethodInfo method)
    {
        var parameters = method.GetParameters().Select(one => Shape(one.ParameterType, one.IsOut, one.GetCustomAttributes(false)));
        return Shape(method.ReturnType, false, method.ReturnParameter.GetCustomAttributes(false)) + "(" + string.Join(", ", parameters) + ")";
    }

    private static string Parameters(string text)
    {
        return text.Trim() == "void" ? "()" : "(" + string.Join(", ", text.Split(',').Select(one => Shape(one, true))) + ")";
    }

    [Test]
    internal static void FunctionsAreThoseOfTheHeader()
    {
        int compared = 0;
        foreach (var method in typeof(Native).GetMethods(BindingFlags.Static | BindingFlags.NonPublic))
        {
            if (method.GetCustomAttribute<DllImportAttribute>() == null) continue;
            var declared = Regex.Match(Header, @"ISCP_API ([^;()]*?)\b" + method.Name + @"\(([^;]*?)\);");
            Support.True(declared.Success, method.Name + " is not in the header");
            var want = Shape(declared.Groups[1].Value, false) + Parameters(declared.Groups[2].Value);
            Support.Equal(method.Name + " " + want, method.Name + " " + Shape(method));
            compared++;
        }
        Support.True(compared > 60, "only " + compared + " functions");
    }

    [Test]
    internal static void CallbacksAreThoseOfTheHeader()
    {
        int compared = 0;
        foreach (var type in typeof(Native).Assembly.GetTypes())
        {
            if (!type.Name.StartsWith("iscp_")) continue;
            var declared = Regex.Match(Header, @"typedef void \(\*" + type.Name + @"\)\(([^;]*?)\);");
            Support.True(declared.Success, type.Name + " is not in the header");
            Support.Equal(type.Name + " void" + Parameters(declared.Groups[1].Value), type.Name + " " + Shape(type.GetMethod("Invoke")));
            compared++;
        }
        Support.Equal(12, compared);
    }

    [Test]
    internal static void ConstantsAreThoseOfTheHeader()
    {
        Compare(typeof(Status), "ERR_", "Ok", "OK");
        Compare(typeof(QoS), "QOS_");
        Compare(typeof(FlushLevel), "FLUSH_");
        Compare(typeof(ConnectionEventKind), "EVENT_");
        Compare(typeof(StreamEventKind), "STREAM_EVENT_");
        Compare(typeof(ConnectionState), "CONN_STATE_");
        Compare(typeof(MetadataKind), "METADATA_");
    }

    private static void Compare(Type type, string prefix, string exception = null, string exceptionName = null)
    {
        foreach (var name in Enum.GetNames(type))
        {
            var constant = "ISCP_" + (name == exception ? exceptionName : prefix + Regex.Replace(name, "(?<=[a-z])([A-Z])", "_$1").ToUpperInvariant());
            var declared = Regex.Match(Header, "#define " + constant + @" (-?\d+)\b");
            Support.True(declared.Success, constant + " is not in the header");
            Support.Equal(constant + " " + declared.Groups[1].Value, constant + " " + (int)Enum.Parse(type, name));
        }
    }

    [Test]
    internal static void StructuresAreThoseOfTheHeader()
    {
        var want = File.ReadAllLines(Support.Setting("ISCP_LAYOUT")).OrderBy(line => line);
        var got = new List<string>
        {
            "iscp_uuid_t " + Marshal.SizeOf(typeof(NativeUuid)),
            "iscp_uuid_t.bytes " + Marshal.OffsetOf(typeof(NativeUuid), "first"),
            "iscp_data_point_t " + Marshal.SizeOf(typeof(NativeDataPoint)),
            "iscp_upstream_point_t " + Marshal.SizeOf(typeof(NativeUpstreamPoint)),
        };
        foreach (var field in typeof(NativeUpstreamPoint).GetFields())
        {
            got.Add("iscp_upstream_point_t." + field.Name + " " + Marshal.OffsetOf(typeof(NativeUpstreamPoint), field.Name));
        }
        foreach (var field in typeof(NativeDataPoint).GetFields())
        {
            got.Add("iscp_data_point_t." + field.Name + " " + Marshal.OffsetOf(typeof(NativeDataPoint), field.Name));
        }
        Support.Equal(string.Join("\n", want), string.Join("\n", got.OrderBy(line => line)));
    }
}
