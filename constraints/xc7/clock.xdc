# AMD/Xilinx 7 series, Vivado: read_xdc -mode out_of_context, for a block on its own.

# Resilin's blocks have one clock, clk ($frequency_mhz MHz).
create_clock -name clk -period $period_ns [get_ports clk]

# The block's neighbours are taken to be registers next to its ports. In a design they are the design's own: drop these.
set_input_delay -clock clk 0 [get_ports -filter {DIRECTION == IN && NAME != clk}]
set_output_delay -clock clk 0 [get_ports -filter {DIRECTION == OUT}]

# Pins belong to a board; for example:
#   set_property -dict {PACKAGE_PIN E3 IOSTANDARD LVCMOS33} [get_ports clk]
